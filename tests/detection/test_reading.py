"""Patterns that are read from programs, whatever is returned and differentiated."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

import jacengine
from jacengine import pytrees
from jacengine.detection.reading import read
from jacengine.errors import UnsupportedError
from jacengine.patterns.given import as_pattern
from jacengine.patterns.pattern import Pattern
from jacengine.program import gradient
from tests.problems import mlp, prepared, randn

NET = mlp(5, 4, 3)
INDEX = torch.tensor([0, 3, 3, 1])


class Named(NamedTuple):
    """Two outputs."""

    last: Tensor
    first: Tensor


@dataclass
class Record:
    """Two outputs."""

    b: Tensor
    a: Tensor


@dataclass(frozen=True)
class Call:
    """A call of one sample, differentiated by all of its arguments."""

    fn: Callable[..., Any]
    args: tuple[Tensor, ...] = (randn(5),)
    has_aux: bool = False

    def values(self, *args: Tensor) -> list[Tensor]:
        """Return what has a derivative."""
        found = self.fn(*args)
        return pytrees.flatten(found[0] if self.has_aux else found)[0]


def two() -> tuple[Tensor, Tensor]:
    return randn(5), randn(2, 3, seed=2)


JACOBIANS: dict[str, Call] = {
    "unsorted names": Call(lambda x: {"b": x[1:].sin(), "a": (x, x[:1] * x[1:3])}),
    "named tuple": Call(lambda x: Named(x[1:].sin(), x * x.roll(1))),
    "dataclass": Call(lambda x: Record(x.cos()[2:], x * x.roll(2))),
    "several kinds": Call(lambda x: (x.float()[1:], x.sum(), x[:0], x.sin())),
    "two inputs": Call(lambda x, y: (x[:2] * y[:, 0], [y.sin(), x.exp()]), two()),
    "an input that is not read": Call(lambda x, y: (y.sin(), y.T), two()),
    "an input that is returned": Call(lambda x, y: [x, y.flip(1), x], two()),
    "a constant": Call(lambda x: (INDEX.double(), x.sin())),
    "aux": Call(
        lambda x: (x * x.roll(1), {"z": x.sum(), "n": 3, "s": "s"}), has_aux=True
    ),
    "aux and several": Call(
        lambda x, y: ((x.sin(), y[0]), y.sum()), two(), has_aux=True
    ),
}
HESSIANS: dict[str, Call] = {
    "two inputs": Call(lambda x, y: (x[1:] * x[:-1]).sum() + (y.T @ y).sum(), two()),
    "an index": Call(lambda x, y: (x[INDEX].sin() * y[0, 1]).sum(), two()),
    "two values": Call(lambda x: {"b": (x[1:] * x[0]).sum(), "a": x[:2].sin()}),
    "two of each": Call(lambda x, y: (x[1:4] * y[0].sin(), (x * x).sum()), two()),
    "indices": Call(lambda x: x[INDEX] * x[:4].sin()),
    "no batched rule": Call(lambda x: (x[1:] * x[:-1]).tanh()),
    "a quotient": Call(lambda x: x[1:].sigmoid() / (2 + x[:-1].square())),
    "a network": Call(NET),
    "linear": Call(lambda x: (3 * x, x.sum())),
    "aux": Call(lambda x: ((x[1:] * x[:-1].sin()).sum(), 3), has_aux=True),
}


def pattern_of(call: Call, **options: Any) -> Pattern:
    wrt = tuple(range(len(call.args)))
    options |= {"wrt": wrt, "has_aux": call.has_aux}
    return read(*prepared(call.fn, *call.args, **options))


def flat(call: Call) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Return the function from all inputs to all outputs, each one flat tensor."""
    args = call.args

    def run(joined: Tensor) -> Tensor:
        parts = joined.split([x.numel() for x in args])
        own = [part.view_as(x) for part, x in zip(parts, args, strict=True)]
        return torch.cat([leaf.reshape(-1).double() for leaf in call.values(*own)])

    return run, torch.cat([x.reshape(-1) for x in args])


@pytest.mark.parametrize("name", JACOBIANS)
def test_jacobians(name: str) -> None:
    J: Any = torch.autograd.functional.jacobian(*flat(JACOBIANS[name]))
    found = pattern_of(JACOBIANS[name])
    assert found == as_pattern(J != 0)
    assert "all points" in found.origin


@pytest.mark.parametrize("name", HESSIANS)
@pytest.mark.parametrize("layout", ["dict", "flat"])
def test_hessians(name: str, layout: Any) -> None:
    call = HESSIANS[name]
    fn, x = flat(call)
    n = x.numel()
    jacobian: Any = torch.autograd.functional.jacobian
    whole = jacobian(lambda x: jacobian(fn, x, create_graph=True), x)
    blocks = [whole]
    if layout == "dict":
        sizes = [value.numel() for value in call.values(*call.args)]
        blocks = [
            block
            for value in whole.split(sizes)
            for block in value.split([arg.numel() for arg in call.args], 1)
        ]
    wanted = torch.cat([block.reshape(-1, n) for block in blocks])
    pattern = pattern_of(call, quantity="hessian", layout=layout)
    assert pattern == as_pattern(wanted != 0)


@pytest.mark.parametrize("quantity", ["jacobian", "hessian"])
def test_of_one_sample(quantity: Any) -> None:
    def fn(x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        return x.T[:, 1:] * w[1:].sin(), (x[0] * x[-1]).square()

    args = randn(5, 3), randn(5, seed=2)
    options: dict[str, Any] = {"wrt": (0, 1), "batch_dim": (1, None)}
    found = read(*prepared(fn, *args, quantity=quantity, **options))
    alone = Call(lambda x, w: fn(x.unsqueeze(1), w), (args[0][:, 0], args[1]))
    assert found == pattern_of(alone, quantity=quantity)
    assert found.shape == ((50, 10) if quantity == "hessian" else (5, 10))


def test_parameters() -> None:
    pattern = read(*prepared(mlp(3, 4, 2), randn(3), wrt=["0.bias", "2.weight"]))
    assert (pattern.shape, pattern.nnz) == ((2, 12), 2 * 4 + 8)


def test_inputs_that_are_not_read() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = (nn.Parameter(torch.ones(2)) for _ in range(2))

        def forward(self, x: Tensor) -> Tensor:
            return self.used * x

    for wrt in ("params", ["unused"]):
        with pytest.raises(UnsupportedError, match="all of its parameters"):
            read(*prepared(Unused(), randn(2), wrt=wrt))
    with pytest.raises(UnsupportedError, match="does not read its inputs"):
        read(*prepared(lambda x, y: y.sin(), *two()))
    second: dict[str, Any] = {"wrt": (0, 1), "quantity": "hessian"}
    with pytest.raises(UnsupportedError, match="does not read all of its inputs"):
        read(*prepared(lambda x, y: y.sin().sum(), *two(), **second))


def test_aux_that_branches_on_values_is_refused() -> None:
    def fn(x: Tensor) -> tuple[Tensor, str]:
        return x.sin(), "positive" if float(x.detach().sum()) > 0 else "negative"

    problem, bound = prepared(fn, randn(3), has_aux=True)
    with pytest.raises(RuntimeError):
        read(problem, bound)


def test_too_many_gradients_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradient, "MOST", 24)
    problem, bound = prepared(torch.sin, randn(5), quantity="hessian")
    with pytest.raises(UnsupportedError, match="gradients of 5 entries are too large"):
        read(problem, bound)
    one: Any = lambda x: x.sin().sum()  # noqa: E731
    assert read(*prepared(one, randn(40), quantity="hessian")).nnz == 40


@st.composite
def calls(draw: st.DrawFn) -> tuple[Call, Tensor]:
    """Draw a function of two inputs with two outputs, and where J is not zero."""
    sizes = [draw(st.integers(1, 5)) for _ in range(4)]
    (n, k, first, second), seed = sizes, draw(st.integers(0, 99))
    m, generator = first + second, torch.Generator().manual_seed(seed)
    mask = torch.rand(m, n + k, generator=generator) < draw(st.floats(0, 0.7))
    rows, columns = mask.nonzero(as_tuple=True)

    def fn(x: Tensor, y: Tensor) -> Any:
        terms = torch.cat([x, y])[columns].sin()
        found = torch.zeros(m, dtype=torch.float64).index_add(0, rows, terms)
        return {"second": found[:first], "first": found[first:]}

    return Call(fn, (randn(n), randn(k, seed=2))), mask


@given(calls())
@settings(max_examples=20, deadline=None)
def test_random_functions(drawn: tuple[Call, Tensor]) -> None:
    call, mask = drawn
    assert pattern_of(call) == as_pattern(mask)
    options: dict[str, Any] = {"wrt": (0, 1), "strategy": "vmap_jvp"}
    found = jacengine.jacobian(call.fn, *call.args, sparsity="detect", **options)
    wanted = jacengine.jacobian(call.fn, *call.args, sparsity=None, **options)
    torch.testing.assert_close(found, wanted)
