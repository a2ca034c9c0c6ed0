"""Patterns that are read from programs contain every nonzero, and often nothing else.

To try the rule of another operator, add a line to `OPERATORS`.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import jacengine
from jacengine.errors import UnsupportedError
from jacengine.patterns.pattern import Pattern
from jacengine.program.gradient import gradient_of
from jacengine.program.pattern import read_pattern
from jacengine.program.program import Programs
from tests.problems import mlp, randn

Function = Callable[[Tensor], Tensor]
X, SQUARE, IMAGE = randn(3, 4), randn(2, 3, 3), randn(1, 2, 6, 6)
Y, MASK, INDEX = randn(3, 4, seed=2), randn(3, 4, seed=3) > 0, torch.tensor([2, 0, 2])
W = randn(4, 5)
BANDED = torch.eye(4, dtype=torch.float64) + torch.eye(4, dtype=torch.float64).roll(
    1, 0
)
CONV = nn.Conv2d(2, 4, 3, padding=1, groups=2).double()
STRIDED = nn.Conv2d(2, 3, 3, stride=2, dilation=2, padding=2).double()
BACK = nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1, output_padding=1).double()
GROUPS = nn.GroupNorm(2, 2).double()
FROZEN = nn.BatchNorm2d(2).double().eval()


def _assigned(x: Tensor) -> Tensor:
    y = x.sin()
    y[0] = 2 * x[1]
    return y


def _loop(x: Tensor) -> Tensor:
    for _ in range(3):
        x = x + 0.1 * x.roll(1, 1).sin()
    return x


OPERATORS: dict[str, tuple[Function, Tensor]] = {
    "pointwise": (lambda x: x.sin() * x.exp() + 2, X),
    "broadcast": (lambda x: x * x[:, :1] + x[0], X),
    "constant": (lambda x: x * Y - 3, X),
    "masked product": (lambda x: x * BANDED[:3], X),
    "where": (lambda x: torch.where(MASK, x, x.flip(0)), X),
    "masked fill": (lambda x: x.masked_fill(MASK, 0.0), X),
    "clamp": (lambda x: x.clamp(-9, 9), X),
    "rounded": (lambda x: x + x.round(), X),
    "view": (lambda x: x.reshape(2, 6).T.sin(), X),
    "slices": (lambda x: x[1:, ::2] * x[:-1, 1::2], X),
    "cat": (lambda x: torch.cat([x, x[:1], torch.ones(1, 4)]).cos(), X),
    "stack": (lambda x: torch.stack([x[0], x[2]], 1), X),
    "roll": (lambda x: x.roll(1, 0) - x.roll(-1, 1), X),
    "flip": (lambda x: x.flip(1) * x, X),
    "repeat": (lambda x: x.repeat(2, 1).sin(), X),
    "split": (lambda x: x.split([1, 3], 1)[1] * x.split([1, 3], 1)[0], X),
    "unbind": (lambda x: x.unbind(1)[1] * x.unbind(1)[3], X),
    "index": (lambda x: x[INDEX].sin(), X),
    "gather": (lambda x: x.gather(1, INDEX.expand(3, 3)), X),
    "index_select": (lambda x: x.index_select(1, INDEX), X),
    "diagonal": (lambda x: x.diagonal(dim1=1, dim2=2).sin(), SQUARE),
    "tril": (lambda x: x.tril().exp(), SQUARE),
    "pad": (lambda x: F.pad(x, (1, 2)).cos(), X),
    "circular": (lambda x: F.pad(x, (1, 1, 1, 1), mode="circular"), IMAGE),
    "reflect": (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), IMAGE),
    "unfold": (lambda x: x.unfold(1, 2, 1).prod(2), X),
    "index_add": (lambda x: torch.zeros(3, 4).double().index_add(0, INDEX, x.sin()), X),
    "scatter_add": (
        lambda x: (
            torch.zeros(3, 4)
            .double()
            .scatter_add(0, INDEX.view(3, 1).expand(3, 4), x.sin())
        ),
        X,
    ),
    "index_put": (lambda x: x.index_put((INDEX,), x.sin() * 2, accumulate=True), X),
    "assigned": (_assigned, X),
    "sum": (lambda x: x.sum(0).sin(), X),
    "mean": (lambda x: x.mean(1, keepdim=True) * x, X),
    "max": (lambda x: x.max(1).values, X),
    "variance": (lambda x: x.var(1), X),
    "norm": (lambda x: x.norm(dim=1), X),
    "logsumexp": (lambda x: x.logsumexp(1), X),
    "product of a row": (lambda x: x.prod(1), X),
    "cumsum": (lambda x: x.cumsum(1).sin(), X),
    "cummax": (lambda x: x.cummax(1).values, X),
    "softmax": (lambda x: x.softmax(1), X),
    "log_softmax": (lambda x: x.log_softmax(0), X),
    "sort": (lambda x: x.sort(1).values, X),
    "topk": (lambda x: x.topk(2, 1).values, X),
    "layer norm": (lambda x: F.layer_norm(x, (4,)), X),
    "group norm": (GROUPS, IMAGE),
    "batch norm": (FROZEN, IMAGE),
    "batch statistics": (lambda x: F.batch_norm(x, None, None, training=True), X),
    "matrix product": (lambda x: x @ W, X),
    "linear layer": (mlp(4, 3, 5), X),
    "banded product": (lambda x: (x @ BANDED).tanh(), X),
    "product from the left": (lambda x: (BANDED[:3, :3] @ x).tanh(), X),
    "masked weights": (lambda x: F.linear(x, W[:, :4].T * BANDED), X),
    "two factors": (lambda x: x[:2] @ x[1:].T, X),
    "batched product": (lambda x: x @ x.transpose(1, 2), SQUARE),
    "matrix by vector": (lambda x: x @ x[0], X),
    "dot": (lambda x: x[0] @ x[1], X),
    "cross": (lambda x: torch.linalg.cross(x, x.flip(0).sin(), dim=-1), SQUARE),
    "attention": (
        lambda x: F.scaled_dot_product_attention(x, x.sin(), x),
        SQUARE[None],
    ),
    "causal attention": (
        lambda x: F.scaled_dot_product_attention(x, x, x.cos(), is_causal=True),
        SQUARE[None],
    ),
    "dropout of nothing": (lambda x: F.dropout(x.sin(), 0.0), X),
    "solve": (lambda x: torch.linalg.solve(x, x[..., :1]), SQUARE),
    "inverse": (torch.linalg.inv, SQUARE),
    "determinant": (torch.linalg.det, SQUARE),
    "convolution": (CONV, IMAGE),
    "strided convolution": (STRIDED, IMAGE),
    "transposed convolution": (BACK, IMAGE),
    "max pooling": (lambda x: F.max_pool2d(x, 2), IMAGE),
    "average pooling": (lambda x: F.avg_pool2d(x, 3, 1, 1), IMAGE),
    "adaptive pooling": (lambda x: F.adaptive_avg_pool2d(x, 4), IMAGE),
    "nearest upsampling": (lambda x: F.interpolate(x, scale_factor=2.0), IMAGE),
    "pixel shuffle": (lambda x: F.pixel_unshuffle(x, 2).sin(), IMAGE),
    "detached": (lambda x: x + (x.round() - x).detach(), X),
    "checkpointed loop": (_loop, X),
    "constant output": (lambda x: Y, X),
}
WIDER = frozenset(
    {
        *("max", "cummax", "sort", "topk", "max pooling", "batch statistics"),
        *("layer norm", "group norm", "where", "solve", "causal attention"),
    }
)
"""Operators whose pattern at all points is larger than that at one."""


def read(fn: Function, x: Tensor, *, gradient: bool = False) -> Pattern:
    x = x.clone().requires_grad_()
    program, inputs = Programs().of(fn, (x,), {})
    start = next(k for k, value in enumerate(inputs) if value is x)
    if gradient:
        program = gradient_of(program, inputs, [start])
    return read_pattern(program, inputs, [start])


def mask_of(pattern: Pattern) -> Tensor:
    mask = torch.zeros(pattern.shape, dtype=torch.bool)
    mask[pattern.rows, pattern.columns] = True
    return mask


@pytest.mark.parametrize("name", [n for n in OPERATORS if n != "constant output"])
def test_operators(name: str) -> None:
    fn, x = OPERATORS[name]
    found = mask_of(read(fn, x))
    nonzero = torch.zeros_like(found)
    for seed in range(4):
        there = x + 0.5 * randn(*x.shape, seed=10 + seed)
        J: Any = torch.autograd.functional.jacobian(fn, there)
        nonzero |= J.reshape(found.shape) != 0
    assert not bool((nonzero & ~found).any())
    if name not in WIDER:
        assert torch.equal(found, nonzero)


def test_an_index_that_depends_on_the_input_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="an index that depends on the input"):
        read(lambda x: x[x.argmax(0)], X)


def test_an_operator_without_a_rule_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match=r"aten\._fft_r2c.*no rule"):
        read(lambda x: torch.fft.rfft(x).real, X)


def test_zeros_of_parameters_are_no_zeros() -> None:
    layer = nn.Linear(4, 4).double()
    nn.init.zeros_(layer.weight)
    assert read(layer, X[0]).nnz == 16


HESSIANS: dict[str, Function] = {
    "Rosenbrock": lambda x: (
        100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2
    ).sum(),
    "separable": lambda x: x.sin().sum(),
    "product": lambda x: (x[:-1] * x[1:]).sum(),
    "logsumexp": lambda x: x.logsumexp(0),
    "linear": lambda x: (3 * x).sum(),
}


@pytest.mark.parametrize("name", HESSIANS)
def test_hessians(name: str) -> None:
    fn, x = HESSIANS[name], randn(7)
    found = mask_of(read(fn, x, gradient=True))
    H: Any = torch.autograd.functional.hessian(fn, x)
    assert torch.equal(found, H != 0)


def test_straight_through_estimators_are_not_empty() -> None:
    pattern = jacengine.sparsity(lambda x: x + (x.round() - x).detach(), randn(9))
    assert pattern == Pattern((9, 9), range(9), range(9))
