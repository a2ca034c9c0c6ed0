"""Functions of bare parameters: whose uses can be read from the graph, or cannot."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.problems import randn

B = 5


class Bare(nn.Module):
    """Parameters without layers, and a function of them."""

    def __init__(self, run: Callable[..., Tensor], **shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.run = run
        for seed, (name, shape) in enumerate(shapes.items()):
            self.register_parameter(name, nn.Parameter(randn(*shape, seed=seed)))

    def forward(self, *args: Tensor) -> Tensor:
        return self.run(*args, **dict(self.named_parameters()))


X, XT, INDEX = randn(B, 3), randn(B, 4, 3), torch.tensor([[0, 5], [-1, 2], [2, 2]] * 2)
IMAGE = randn(B, 2, 6, 5)

READ: dict[str, tuple[Bare, tuple[Tensor, ...]]] = {
    "linear": (Bare(F.linear, weight=(2, 3), bias=(2,)), (X,)),
    "linear of positions": (
        Bare(lambda x, W, b: F.linear(x, W, b).tanh(), W=(2, 3), b=(2,)),
        (XT,),
    ),
    "linear of transposed positions": (
        Bare(
            lambda x, W, b: F.linear(x.transpose(0, 1), W, b).sum(0), W=(2, 3), b=(2,)
        ),
        (XT,),
    ),
    "linear of one row each": (
        Bare(lambda x, W: F.linear(x[:, :1], W).squeeze(1), W=(2, 3)),
        (XT,),
    ),
    "matrix product": (Bare(lambda x, W: (x @ W).tanh(), W=(3, 2)), (XT,)),
    "tied": (
        Bare(lambda x, W: F.linear(F.linear(x, W).tanh(), W.T), W=(2, 3)),
        (X,),
    ),
    "twice": (Bare(lambda x, W: (x @ W).tanh() @ W, W=(3, 3)), (X,)),
    "einsum": (
        Bare(lambda x, W: torch.einsum("bti,oi->bto", x, W).tanh(), W=(2, 3)),
        (XT,),
    ),
    "einsum of features": (
        Bare(lambda x, W: torch.einsum("bi,oi->bo", x, W).tanh(), W=(2, 3)),
        (X,),
    ),
    "projection": (Bare(lambda x, v: (x @ v).tanh(), v=(3,)), (XT,)),
    "scale": (Bare(lambda x, s: (x * s).tanh(), s=(3,)), (XT,)),
    "scale from the left": (Bare(lambda x, s: (s * x).tanh(), s=(4, 3)), (XT,)),
    "scale of channels": (Bare(lambda x, s: (x * s).tanh(), s=(1, 4, 1)), (XT,)),
    "scale of all": (Bare(lambda x, s: (x * s).tanh(), s=()), (XT,)),
    "scale of what is broadcast": (
        Bare(lambda x, s: (x.sum(-1, keepdim=True) * s).tanh(), s=(3,)),
        (XT,),
    ),
    "scale of more axes": (
        Bare(lambda x, s: (x * s)[0].tanh(), s=(1, 1, 3)),
        (X,),
    ),
    "shift": (Bare(lambda x, b: (x + b).tanh(), b=(4, 1)), (XT,)),
    "scaled shift": (Bare(lambda x, b: torch.add(x, b, alpha=3).tanh(), b=(3,)), (XT,)),
    "shift down": (Bare(lambda x, b: torch.sub(x, b, alpha=3).tanh(), b=(3,)), (XT,)),
    "subtracted from": (Bare(lambda x, b: (b - x).tanh(), b=(3,)), (XT,)),
    "weighted bias": (
        Bare(lambda x, W, b: torch.addmm(b, x, W.T, beta=2).tanh(), W=(2, 3), b=(2,)),
        (X,),
    ),
    "token": (
        Bare(
            lambda x, t: torch.cat([t.expand(len(x), -1, -1), x], 1).tanh(), t=(1, 1, 3)
        ),
        (XT,),
    ),
    "table": (
        Bare(lambda i, E: F.embedding(i, E).tanh(), E=(6, 3)),
        (INDEX.abs()[:B],),
    ),
    "table with padding": (
        Bare(lambda i, E: F.embedding(i, E, padding_idx=2).tanh(), E=(6, 3)),
        (INDEX.abs()[:B],),
    ),
    "rows by index": (Bare(lambda i, E: E[i].tanh().sum(1), E=(6, 3)), (INDEX[:B],)),
    "parts": (
        Bare(lambda x, W: (x @ W[:, 1:3]).tanh() @ W.chunk(2, 1)[0][:2], W=(3, 4)),
        (X,),
    ),
    "rows of one parameter": (
        Bare(lambda x, W: (x * W[0] + W[-1]).tanh() * W.select(-2, 1), W=(4, 3)),
        (X,),
    ),
    "pieces of one parameter": (
        Bare(
            lambda x, w: (x @ w[:6].view(3, 2) + w.split([6, 2, 1])[1]).tanh(), w=(9,)
        ),
        (X,),
    ),
    "unbound": (
        Bare(lambda x, W: x @ W.unbind(0)[1] + x @ W.unbind(-1)[0].T[:3], W=(2, 3, 2)),
        (X,),
    ),
    "every other": (Bare(lambda x, W: (x @ W[::2]).tanh(), W=(6, 2)), (X,)),
    "permuted": (
        Bare(lambda x, W: (x @ W.permute(1, 0, 2)[:, 1]).tanh(), W=(2, 3, 2)),
        (X,),
    ),
    "squeezed": (
        Bare(
            lambda x, W: (x @ W.squeeze(0).unsqueeze(-1).squeeze().mT).tanh(),
            W=(1, 2, 3),
        ),
        (X,),
    ),
    "convolution": (
        Bare(
            lambda x, K, b: F.conv2d(x, K, b, stride=(1, 2), padding=1).tanh(),
            K=(3, 2, 3, 2),
            b=(3,),
        ),
        (IMAGE,),
    ),
    "convolution in groups": (
        Bare(
            lambda x, K: F.conv2d(x, K, groups=2, dilation=2).tanh().sum((2, 3)),
            K=(4, 1, 2, 2),
        ),
        (IMAGE,),
    ),
    "transposed convolution": (
        Bare(
            lambda x, K, b: F.conv_transpose2d(x, K, b, stride=2, groups=2).tanh(),
            K=(2, 3, 2, 3),
            b=(6,),
        ),
        (IMAGE[..., :2, :3],),
    ),
    "tied convolution": (
        Bare(
            lambda x, K: F.conv_transpose2d(F.conv2d(x, K).tanh(), K).sum((2, 3)),
            K=(3, 2, 3, 2),
        ),
        (IMAGE,),
    ),
    "itself": (Bare(lambda x, W: W.expand(len(x), 3, 2) * 1, W=(3, 2)), (X,)),
    "not used": (Bare(lambda x, W, V: x @ W, W=(3, 2), V=(2,)), (X,)),
}
"""Functions all of whose uses of parameters can be read."""


def _share(x: Tensor, W: Tensor) -> Tensor:
    view = W.T
    return (x @ view).tanh() + view.square().sum()


UNREAD: dict[str, tuple[Bare, tuple[Tensor, ...]]] = {
    "product with another": (
        Bare(lambda x, W, V: (x @ (W * V)).tanh(), W=(3, 2), V=(3, 2)),
        (X,),
    ),
    "function of it": (Bare(lambda x, W: (x @ W.exp()).tanh(), W=(3, 2)), (X,)),
    "from the left": (Bare(lambda x, W: (W @ x.T).T.tanh(), W=(2, 3)), (X,)),
    "read and not": (
        Bare(lambda x, W: (x @ W).tanh() + W.square().sum(), W=(3, 2)),
        (X,),
    ),
    "a shared view of it": (Bare(_share, W=(2, 3)), (X,)),
    "across the batch": (
        Bare(lambda x, W: (x @ W).tanh() + 0 * (x.mean(0) @ W).sum(), W=(3, 2)),
        (X,),
    ),
    "scaled product": (
        Bare(lambda x, W: torch.addmm(x.new_zeros(2), x, W, alpha=2).tanh(), W=(3, 2)),
        (X,),
    ),
    "stack of matrices": (
        Bare(
            lambda x, W: torch.bmm(x.expand(4, *x.shape), W).tanh().transpose(0, 1),
            W=(4, 3, 2),
        ),
        (X,),
    ),
    "nothing": (Bare(lambda x, W: torch.cat([x, x @ W], 1), W=(3, 0)), (X,)),
    "complex numbers": (
        Bare(lambda x, s: (torch.fft.fft(x) * s).real.tanh(), s=(3,)),
        (X,),
    ),
    "sparse numbers": (
        Bare(lambda x, W: (x.to_sparse() @ W).tanh(), W=(3, 2)),
        (X,),
    ),
}
"""Functions with a use that no layer is like, or whose samples lie nowhere."""
