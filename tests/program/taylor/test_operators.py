"""Operators on whole tensors against reverse over reverse."""

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from jacengine.program.taylor.propagate import propagate
from tests.program.taylor.reference import check, point, reference, seeds

W = point(3, 6)
IMAGE = point(2, 3, 3)


attend: Callable[..., Tensor] = F.scaled_dot_product_attention


def image(x: Tensor) -> Tensor:
    return x.reshape(4, 1, 2, 3) * torch.ones(1, 2, 1, 1).double()


PRODUCTS: dict[str, Callable[[Tensor], Any]] = {
    "mul": lambda x: x * x.sin(),
    "mul number": lambda x: 3 * x * x,
    "mul constant": lambda x: W[0] * x * x,
    "mul broadcast": lambda x: x[:, :, None] * x[:, None, :],
    "square by itself": lambda x: x * x,
    "div": lambda x: x / (x * x + 1),
    "div constant": lambda x: (x * x) / W[0],
    "number div": lambda x: 2 / (x * x + 1),
    "constant div": lambda x: W[0] / (x * x + 1),
    "div floor": lambda x: torch.div(x * x, 0.3, rounding_mode="floor") + x * x,
    "matmul": lambda x: x @ x.T,
    "matmul constant": lambda x: W @ (x * x).T,
    "matmul vector": lambda x: x @ x[0],
    "vector matmul": lambda x: x[0] @ x.T,
    "vector vector": lambda x: x[0] @ x[1],
    "batched matmul": lambda x: x.reshape(4, 2, 3) @ x.reshape(4, 3, 2),
    "broadcast matmul": lambda x: x.reshape(4, 2, 3) @ x[0].reshape(3, 2),
    "broadcast matmul left": lambda x: x[0].reshape(2, 3) @ x.reshape(4, 3, 2),
    "batch by a vector": lambda x: x.reshape(4, 2, 3) @ x[0, :3],
    "vector by a batch": lambda x: x[0, :3] @ x.reshape(4, 3, 2),
    "mm": lambda x: torch.mm(x, x.t()),
    "mv": lambda x: torch.mv(x, x[1]),
    "dot": lambda x: x[0].dot(x[1]),
    "inner": lambda x: torch.inner(x, x),
    "outer": lambda x: torch.outer(x[0], x[1]),
    "addmm": lambda x: torch.addmm(x[:, :4], x, x.T, beta=0.5, alpha=2),
    "baddbmm": lambda x: torch.baddbmm(
        x[:, :4].reshape(4, 2, 2), x.reshape(4, 2, 3), x.reshape(4, 3, 2)
    ),
    "kron": lambda x: torch.kron(x[:2, :2], x[:2, :2]),
    "linear": lambda x: F.linear(x * x, W, W[:, 0]),
    "linear jet weight": lambda x: F.linear(x, x, x[0, :4]),
    "linear jet bias": lambda x: F.linear(W, W, x[0, :3] ** 2),
    "bilinear": lambda x: F.bilinear(x, x.sin(), point(2, 6, 6), W[:2, 0]),
    "einsum": lambda x: torch.einsum("bi,bj->bij", x, x.sin()),
    "einsum implicit": lambda x: torch.einsum("bi,ji", x, x),
    "einsum three": lambda x: torch.einsum("bi,oi,bi->bo", x, W, x.sin()),
    "einsum four": lambda x: torch.einsum("bi,bi,bi,bi->b", x, x, x, x),
    "einsum ellipsis": lambda x: torch.einsum("...i,...i->...", x, x),
    "einsum sum": lambda x: torch.einsum("bi->b", x * x),
    "einsum diagonal": lambda x: torch.einsum("ii->i", x[:, :4] ** 2),
    "einsum list": lambda x: torch.einsum("bi,bi", [x, x]),
    "einsum sublist": lambda x: torch.einsum(x, [0, 1], x, [0, 1], [0]),
    "tensordot": lambda x: torch.tensordot(x, x, dims=cast(Any, ([1], [1]))),
    "conv1d": lambda x: F.conv1d((x * x).reshape(4, 2, 3), point(2, 2, 2), W[:2, 0]),
    "conv1d alone": lambda x: F.conv1d((x[0] * x[1]).reshape(2, 3), point(2, 2, 2)),
    "conv1d jet weight": lambda x: F.conv1d(x.reshape(4, 2, 3), x[:2].reshape(2, 2, 3)),
    "conv2d": lambda x: F.conv2d(image(x * x), point(3, 2, 2, 2), padding=1, stride=2),
    "conv2d groups": lambda x: F.conv2d(image(x * x), point(2, 1, 2, 2), groups=2),
    "conv2d same": lambda x: F.conv2d(image(x * x), point(2, 2, 3, 3), padding="same"),
    "conv3d": lambda x: F.conv3d(image(x * x)[:, :, None], point(1, 2, 1, 2, 2)),
    "conv_transpose2d": lambda x: F.conv_transpose2d(image(x * x), point(2, 1, 2, 2)),
    "cross": lambda x: torch.linalg.cross(x[:, :3], x[:, 3:]),
    "slogdet": lambda x: torch.linalg.slogdet(x[:, :4].reshape(4, 2, 2))[1],
    "logdet": lambda x: torch.logdet(x @ x.T + torch.eye(4)),
    "solve by a jet": lambda x: torch.linalg.solve(W[:, :3], x.reshape(8, 3).T),
    "solve vector": lambda x: torch.linalg.solve(W[:, :3], x[0, :3] ** 2),
    "det": lambda x: torch.det(x[:, :4].reshape(4, 2, 2)),
    "inv": lambda x: torch.inverse(x[:, :4].reshape(4, 2, 2)),
    "solve": lambda x: torch.linalg.solve(x[:, :4].reshape(4, 2, 2), x[:, 4:]),
    "eigvalsh": lambda x: torch.linalg.eigh(x @ x.T + torch.eye(4))[0],
    "svdvals": lambda x: torch.linalg.svd(x[:3, :3])[1],
    "cholesky": lambda x: torch.linalg.cholesky(x @ x.T + torch.eye(4)),
    "matrix_exp": lambda x: torch.matrix_exp(x[:3, :3]),
}
SPREAD = torch.tensor([[3, 1]]).expand(4, 2)
MOVES: dict[str, Callable[[Tensor], Any]] = {
    "add": lambda x: torch.add(x, x, alpha=3),
    "add number": lambda x: 1 + x + 2,
    "add wider": lambda x: x + point(2, 1, 6),
    "add two ranks": lambda x: x + x[0] + x[:, :1],
    "sub": lambda x: torch.sub(x, x.flip(0), alpha=0.5) - W[0],
    "rsub": lambda x: 1 - torch.rsub(x, x[0], alpha=2),
    "neg": lambda x: -x,
    "sum": lambda x: x.sum(),
    "sum dim": lambda x: x.sum(-1, keepdim=True),
    "sum axis": lambda x: cast(Any, x).sum(axis=0),
    "sum dims": lambda x: x.reshape(4, 2, 3).sum((0, 2)),
    "sum dtype": lambda x: x.sum(1, dtype=torch.float64),
    "sum of a broadcast axis": lambda x: x.sum(0),
    "mean": lambda x: x.mean(),
    "mean dim": lambda x: torch.mean(x, dim=(0,), keepdim=True),
    "sum of a number": lambda x: x.sum().sum().mean(0),
    "cumsum": lambda x: x.cumsum(-1),
    "trace": torch.trace,
    "reshape": lambda x: x.reshape(2, -1),
    "view": lambda x: x.view(4, 3, 2).view((12, 2)),
    "flatten": lambda x: x.reshape(4, 2, 3).flatten(1),
    "unflatten": lambda x: x.unflatten(1, (2, 3)),
    "permute": lambda x: x.reshape(4, 2, 3).permute(2, 0, -2),
    "transpose": lambda x: x.reshape(4, 2, 3).transpose(-1, 0),
    "T": lambda x: x.T,
    "mT": lambda x: x.reshape(4, 2, 3).mT,
    "movedim": lambda x: x.reshape(4, 2, 3).movedim(0, -1),
    "movedims": lambda x: x.reshape(4, 2, 3).movedim((0, 1), (2, 0)),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "unsqueeze": lambda x: x.unsqueeze(-1).unsqueeze(0),
    "squeeze": lambda x: x[:, None].squeeze(1).squeeze(),
    "expand": lambda x: x[:, None].expand(-1, 2, 6),
    "expand in front": lambda x: x.expand(2, 4, 6),
    "broadcast_to": lambda x: torch.broadcast_to(x[0], (3, 6)),
    "repeat": lambda x: x.repeat(2, 1, 2),
    "tile": lambda x: torch.tile(x, (2,)),
    "repeat_interleave": lambda x: x.repeat_interleave(2, 1),
    "int": lambda x: x[1],
    "negative int": lambda x: x[..., -1],
    "slice": lambda x: x[1:, ::2],
    "new axis": lambda x: x[:, None, 2:4],
    "list": lambda x: x[[0, 2]],
    "mask": lambda x: x[torch.tensor([True, False, True, True])],
    "full mask": lambda x: x[point(4, 6) > 0],
    "own mask": lambda x: x[x > 0],
    "two lists": lambda x: x[torch.tensor([0, 1]), torch.tensor([2, 3])],
    "two lists apart": lambda x: x.reshape(4, 2, 3)[
        torch.tensor([0, 1]), :, torch.tensor([2, 0])
    ],
    "lists and dots": lambda x: x.reshape(4, 2, 3)[torch.tensor([0, 1]), ..., [2, 0]],
    "ellipsis list": lambda x: x.reshape(4, 2, 3)[..., torch.tensor([2, 0])],
    "int and list": lambda x: x.reshape(4, 2, 3)[0, :, torch.tensor([2, 0])],
    "table index": lambda x: x[torch.tensor([[0, 1], [2, 3]])],
    "triangle": lambda x: x[:, :4][torch.triu_indices(4, 4, 1).unbind()],
    "bool index": lambda x: x[True],
    "index_add": lambda x: x.sin().index_add(1, SPREAD[0], point(4, 2), alpha=2).exp(),
    "scatter_add": lambda x: x.sin().scatter_add(1, SPREAD, point(4, 2)).exp(),
    "index_select": lambda x: x.index_select(1, torch.tensor([0, 3])),
    "gather": lambda x: x.gather(1, torch.tensor([[0], [1], [2], [3]])),
    "select": lambda x: x.select(-1, 2),
    "narrow": lambda x: x.narrow(1, 2, 3),
    "split": lambda x: torch.cat(x.split(4, 1)[::-1], 1),
    "split sizes": lambda x: torch.split(x, [1, 5], dim=1)[1],
    "chunk": lambda x: x.chunk(3, -1)[1],
    "tensor_split": lambda x: x.tensor_split(4, 1)[0],
    "unbind": lambda x: torch.stack(x.unbind(1)[::2]),
    "iteration": lambda x: torch.stack([row * row.sum() for row in x]),
    "unpacking": lambda x: torch.stack([*x][:3]),
    "cat": lambda x: torch.cat([x, x[:, :1] * x], -1),
    "cat constant": lambda x: torch.cat([torch.ones(4, 1).double(), x], 1),
    "cat samples": lambda x: torch.cat((x, x[:1])),
    "stack": lambda x: torch.stack([x, x * x, torch.ones(4, 6).double()], 1),
    "hstack": lambda x: torch.hstack([x, x]),
    "vstack": lambda x: torch.vstack([x, x[0]]),
    "where": lambda x: torch.where(x > 0, x * x, -x),
    "where constant": lambda x: x.where(x > 0, W[0]),
    "where number": lambda x: torch.where(x > 0, 1.0, x),
    "where broadcast": lambda x: torch.where(W[:, :1, None] > 0, x, x[0]),
    "masked_fill": lambda x: x.masked_fill(x > 0.3, 2.0),
    "masked_select": lambda x: x.masked_select(x > 0.3),
    "flip": lambda x: x.flip(0, 1),
    "flip dims": lambda x: torch.flip(x, [-1]),
    "roll": lambda x: x.roll(1, -1),
    "diagonal": lambda x: x.diagonal(),
    "diag": lambda x: torch.diag(x[0]),
    "tril": lambda x: x.tril(-1),
    "triu": lambda x: torch.triu(x, diagonal=1),
    "pad": lambda x: F.pad(x, (1, 2), value=3.0),
    "reflect": lambda x: F.pad(image(x), (1, 1, 1, 0), mode="reflect"),
    "circular": lambda x: F.pad(image(x), (1, 1, 0, 1), mode="circular"),
    "avg_pool2d": lambda x: F.avg_pool2d(image(x), 2, stride=1),
    "avg_pool1d alone": lambda x: F.avg_pool1d(x, 2),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(image(x), 1),
    "max_pool2d": lambda x: F.max_pool2d(image(x), 2),
    "interpolate": lambda x: F.interpolate(image(x), scale_factor=2, mode="bilinear"),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x.reshape(1, 4, 2, 3), 2),
    "clone": lambda x: x.clone().contiguous().double() * x,
    "to": lambda x: x.to(torch.float64).to(x),
    "float32": lambda x: (x * x).float().double().round(decimals=2) + x,
    "dropout": lambda x: F.dropout(x, 0.5, training=False),
    "identity": torch.nn.Identity(),
    "max": lambda x: x.max(1).values,
    "max and place": lambda x: x.max(1)[0] * x.argmax(1),
    "amax": lambda x: x.amax(0),
    "topk": lambda x: x.topk(2, 1)[0],
    "sort": lambda x: x.sort(1)[0],
    "median": lambda x: x.median(1).values,
    "meshgrid": lambda x: torch.meshgrid(x[0], x[1], indexing="ij")[0],
    "broadcast_tensors": lambda x: torch.broadcast_tensors(x[:1], x)[0],
    "keyword input": lambda x: torch.sum(input=x, dim=1),
    "scatter": lambda x: (
        torch.zeros(4, 6).double().scatter_add(1, torch.zeros(4, 6).long(), x)
    ),
    "unfold": lambda x: x.unfold(1, 2, 2),
}
FORMULAS: dict[str, Callable[[Tensor], Any]] = {
    "softmax": lambda x: F.softmax(x, -1),
    "softmax method": lambda x: x.softmax(0),
    "log_softmax": lambda x: torch.log_softmax(x, 1),
    "logsumexp": lambda x: x.logsumexp(1),
    "softmin": lambda x: F.softmin(x, 1),
    "layer_norm": lambda x: F.layer_norm(x, (6,), W[0], W[1]),
    "layer_norm two": lambda x: F.layer_norm(x.reshape(4, 2, 3), (2, 3)),
    "rms_norm": lambda x: F.rms_norm(x, (6,), W[0]),
    "group_norm": lambda x: F.group_norm(x, 2, W[0], W[1]),
    "batch_norm": lambda x: F.batch_norm(x, W[0], W[1] ** 2, W[2], W[0]),
    "torch.batch_norm": lambda x: torch.batch_norm(
        x, W[2], W[0], W[0], W[1] ** 2, False, 0.1, 1e-5, False
    ),
    "batch_norm of samples": lambda x: F.batch_norm(x, None, None, training=True),
    "instance_norm": lambda x: F.instance_norm(image(x * x)),
    "torch.instance_norm": lambda x: torch.instance_norm(
        image(x * x), W[0, :2], W[1, :2], None, None, True, 0.1, 1e-5, False
    ),
    "attention": lambda x: attend(*[x.reshape(1, 4, 2, 3)] * 3),
    "causal": lambda x: attend(*[x.reshape(2, 4, 3)] * 3, is_causal=True),
    "masked attention": lambda x: attend(
        *[x.reshape(2, 4, 3)] * 3, attn_mask=point(4, 4), scale=0.3
    ),
    "norm": lambda x: x.norm(dim=1),
    "norm of all": torch.norm,
    "norm 3": lambda x: x.norm(3, dim=1),
    "linalg.norm": lambda x: torch.linalg.norm(x, dim=-1, keepdim=True),
    "vector_norm": lambda x: torch.linalg.vector_norm(x, dim=(0, 1)),
    "vector_norm 1": lambda x: torch.linalg.vector_norm(x * x, 1, dim=1),
    "normalize": lambda x: F.normalize(x, dim=1),
    "cosine_similarity": lambda x: F.cosine_similarity(x, x.flip(0)),
    "var": lambda x: x.var(1),
    "var biased": lambda x: torch.var(x, dim=0, correction=0, keepdim=True),
    "std": lambda x: x.std(),
    "prod": lambda x: x.prod(1),
    "hypot": lambda x: torch.hypot(x, x.flip(0)),
    "addcmul": lambda x: torch.addcmul(x, x, x, value=0.3),
    "addcdiv": lambda x: torch.addcdiv(x, x, x * x + 1),
    "mse_loss": lambda x: F.mse_loss(x * x, W[:1].expand(4, 6)),
    "cross_entropy": lambda x: F.cross_entropy(x, torch.tensor([0, 1, 2, 3])),
    "smooth_l1": lambda x: F.smooth_l1_loss(x * x, W[:1].expand(4, 6)),
    "gru_cell": lambda x: torch.gru_cell(x[:, :3], x[:, 3:], point(9, 3), point(9, 3)),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_product_matches_reverse_mode(name: str) -> None:
    check(PRODUCTS[name], point(4, 6))


@pytest.mark.parametrize("name", MOVES)
def test_linear_operator_matches_reverse_mode(name: str) -> None:
    x = point(4, 6)
    check(lambda z: MOVES[name](z * z[:, :1]), x)
    # Squared, so that wrong tangents show.
    check(lambda z: MOVES[name](z) ** 2, x)


@pytest.mark.parametrize("name", FORMULAS)
def test_formula_matches_reverse_mode(name: str) -> None:
    with sdpa_kernel(SDPBackend.MATH):  # the reference's; others have no second
        check(FORMULAS[name], point(4, 6))
        check(lambda x: FORMULAS[name](x * x[:, :1] + 0.2 * x), point(4, 6))


def test_cdist_is_the_norm_of_differences() -> None:
    x, v = point(4, 6), seeds((point(4, 6),), broadcast=False)
    (found,) = propagate(lambda x: (torch.cdist(x[:2], x[2:]),), (x,), v)
    expected = reference(lambda x: (x[:2, None] - x[2:]).norm(dim=-1), (x,), v)
    torch.testing.assert_close(found, expected.detach())


def test_hardsigmoid_is_a_clamped_line() -> None:
    x, v = point(4, 6) * 4, seeds((point(4, 6),), broadcast=False)
    (found,) = propagate(lambda x: (F.hardsigmoid(x) * x,), (x,), v)
    expected = reference(lambda x: (x / 6 + 0.5).clamp(0, 1) * x, (x,), v)
    torch.testing.assert_close(found, expected.detach())


def test_norm_of_zero_bends_by_nan_and_no_other_entry_does() -> None:
    x, v = point(4, 6), seeds((point(4, 6),), broadcast=False)
    (found,) = propagate(lambda x: ((x[:, None] - x[None]).norm(dim=-1),), (x,), v)
    assert torch.equal(found.isnan(), torch.eye(4, dtype=torch.bool))
