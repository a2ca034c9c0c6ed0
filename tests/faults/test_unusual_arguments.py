"""Tensors, containers and functions of unusual kinds: right, or refused in words."""

from collections import ChainMap, UserDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

import jacengine
from jacengine import InputTypeError
from jacengine._torch_private import wrapper_tensor
from tests.problems import mlp, randn

X, A = randn(4, 3), randn(3, 5, seed=1)


def plain(fn: Callable[[Tensor], Tensor], x: Tensor = X) -> Tensor:
    """Compute a Jacobian by plain reverse mode."""
    J: Tensor = torch.autograd.functional.jacobian(fn, x)
    return J


def same(got: Tensor, wanted: Tensor) -> bool:
    return torch.allclose(got, wanted, rtol=1e-9, atol=1e-12)


def times(x: Tensor, matrix: Any) -> Tensor:
    result: Tensor = (matrix @ x.T).T.tanh()
    return result


WANTED = plain(lambda x: (x @ A).tanh())
LAYOUTS = {"coordinates": "to_sparse", "CSR": "to_sparse_csr", "CSC": "to_sparse_csc"}


class Holder:
    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def times(self, x: Tensor) -> Tensor:
        return times(x, self.matrix)


ROADS: dict[str, Callable[[Tensor], Tensor]] = {
    "argument": lambda m: jacengine.auto(times, X, m),
    "plan": lambda m: jacengine.plan(times, X, m)(X, m),
    "named": lambda m: jacengine.jacobian(times, X, m, strategy="reverse_loop"),
    "closure": lambda m: jacengine.auto(lambda x: times(x, m), X),
    "attribute": lambda m: jacengine.auto(Holder(m).times, X),
}


@pytest.mark.parametrize("road", ROADS.values(), ids=ROADS)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.filterwarnings("ignore:Sparse CS. tensor support")
def test_sparse_tensor(layout: str, road: Callable[[Tensor], Tensor]) -> None:
    assert same(road(getattr(A.T, layout)()), WANTED)


class Graph(nn.Module):
    """A graph convolution, with a sparse adjacency matrix."""

    def __init__(self, layout: str) -> None:
        super().__init__()
        adjacent = torch.eye(4) + torch.eye(4).roll(1, 0)
        self.register_buffer("adjacent", getattr(adjacent.double(), layout)())
        self.linear = nn.Linear(3, 2, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return times(self.linear(x).T, self.adjacent).T


@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr"])
def test_sparse_buffer(layout: str) -> None:
    model = Graph(layout)
    wanted = plain(model)
    assert same(jacengine.auto(model, X), wanted)
    assert same(jacengine.plan(model, X)(X), wanted)
    v = randn(12)
    assert same(jacengine.operator(model, X) @ v, wanted.reshape(8, 12) @ v)
    J = jacengine.auto(model, X, wrt="params")
    assert J["linear.bias"].shape == (4, 2, 2)


class Words(nn.Module):
    """Embeddings, one of them in bags."""

    def __init__(self, *, sparse: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Embedding(11, 4, sparse=sparse, padding_idx=0)
        self.bag = nn.EmbeddingBag(7, 4, mode="sum", sparse=sparse)

    def forward(self, words: Tensor, bags: Tensor) -> Tensor:
        result: Tensor = (self.one(words).mean(1) * self.bag(bags)).tanh()
        return result


@pytest.mark.parametrize("batch_dim", [0, None])
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_sparse_gradients(batch_dim: int | None) -> None:
    words = torch.randint(0, 11, (4, 5), generator=torch.Generator().manual_seed(1))
    bags = torch.randint(0, 7, (4, 3), generator=torch.Generator().manual_seed(2))
    options: Any = {"wrt": "params", "batch_dim": batch_dim, "layout": "flat"}
    got = jacengine.auto(Words(sparse=True), words, bags, **options)
    wanted = jacengine.auto(Words(sparse=False), words, bags, **options)
    assert torch.allclose(got, wanted)
    strategy = jacengine.jacobian(
        Words(sparse=True), words, bags, strategy="reverse_loop", **options
    )
    assert torch.allclose(strategy, wanted)


@pytest.mark.parametrize("effort", ["none", "quick", "thorough"])
@pytest.mark.parametrize("wrt", ["params", 0])
def test_empty_batch(wrt: Any, effort: Any) -> None:
    model = nn.Sequential(nn.Conv1d(1, 2, 2), nn.Flatten())
    J = jacengine.auto(
        model, randn(0, 1, 6).float(), wrt=wrt, batch_dim=0, effort=effort
    )
    shape = (0, 10, 1, 6) if wrt == 0 else (0, 10, 2)
    assert (J if wrt == 0 else J["0.bias"]).shape == shape


def test_inference_mode() -> None:
    def scaled(x: Tensor, side: Tensor) -> Tensor:
        return (x @ side).tanh()

    model = mlp(3, 4)
    wanted = jacengine.auto(model, X, wrt="params", batch_dim=0, layout="flat")
    with torch.inference_mode():
        x, side = X.clone(), A.clone()
        assert same(jacengine.auto(scaled, x, side), WANTED)
        got = jacengine.auto(model, x, wrt="params", batch_dim=0, layout="flat")
        assert same(got, wanted)
    assert same(jacengine.auto(scaled, X, side), WANTED)
    with pytest.raises(InputTypeError, match="inference_mode"):
        jacengine.auto(lambda x: scaled(x, side), X)


def test_tensor_on_the_meta_device() -> None:
    shape = torch.empty(2, 7, device="meta")
    got = jacengine.auto(lambda x, s: x.sin()[:, : s.shape[0]], X, shape)
    assert same(got, plain(lambda x: x.sin()[:, :2]))


@contextmanager
def default_device(name: str) -> Generator[None]:
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


NET = mlp(3, 4)
QUANTITIES: dict[str, Callable[[], Any]] = {
    "auto": lambda: jacengine.auto(NET, X, batch_dim=0),
    "rows": lambda: jacengine.auto(NET, X, rows=slice(0, 9, 2)),
    "parameters": lambda: jacengine.auto(
        NET, X, wrt="params", batch_dim=0, layout="flat"
    ),
    "hessian": lambda: jacengine.hessian(NET, X, batch_dim=0),
    "diagonal": lambda: jacengine.hessian_diagonal(NET, X, batch_dim=0),
    "laplacian": lambda: jacengine.laplacian(NET, X),
    "hutchinson": lambda: jacengine.laplacian(NET, X, probes=3),
    "gram": lambda: jacengine.operator(NET, X, wrt="params").gram(),
    "graph": lambda: jacengine.auto(NET, X, create_graph=True).detach(),
    "blocks": lambda: torch.cat([b.jacobian for b in jacengine.blocks(NET, X)]),
}


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=QUANTITIES)
def test_default_device_that_is_another(quantity: Callable[[], Any]) -> None:
    wanted = quantity()
    with default_device("meta"):
        got = quantity()
    assert same(got, wanted)


@dataclass
class Outputs:
    """As libraries of models return: what was not asked for is `None`."""

    logits: Tensor
    loss: Tensor | None = None


@pytest.mark.parametrize("batch_dim", [0, None])
def test_dataclass_with_a_field_that_is_none(batch_dim: int | None) -> None:
    def fn(given: Outputs) -> Outputs:
        return Outputs(given.logits.sin(), given.loss)

    x = randn(4, 3)
    for strategy in jacengine.list_strategies():
        if strategy in {"quasi_linear", "elimination"}:
            continue
        found = jacengine.jacobian(
            fn, Outputs(x), batch_dim=batch_dim, strategy=strategy
        )
        assert found.loss is None
        assert found.logits.loss is None
        wanted = jacengine.jacobian(
            torch.sin, x, batch_dim=batch_dim, strategy="reverse_loop"
        )
        torch.testing.assert_close(found.logits.logits, wanted)
    plan = jacengine.plan(fn, Outputs(x), batch_dim=batch_dim)
    with pytest.raises(jacengine.PlanMismatchError):
        plan(Outputs(x, x))
    both = jacengine.auto(fn, Outputs(x, x), batch_dim=batch_dim)
    assert both.loss.loss.shape == both.logits.logits.shape


@pytest.mark.parametrize("kind", [UserDict, MappingProxyType, ChainMap])
def test_mappings(kind: Any) -> None:
    at = kind({"a": X, "b": A})
    J = jacengine.auto(lambda d: kind({"y": (d["a"] @ d["b"]).tanh()}), at)
    assert type(J) is kind
    assert type(J["y"]) is kind
    assert same(J["y"]["a"], WANTED)
    side = jacengine.auto(lambda x, d: (x @ d["b"]).tanh(), X, at)
    assert same(side, WANTED)
    plan = jacengine.plan(lambda x, d: x @ d["b"], X, at)
    with pytest.raises(jacengine.PlanMismatchError, match=r"args\[1\]\['b'\]"):
        plan(X, kind({"a": X, "b": A.float()}))


class Wrapped(Tensor):
    """A tensor without a storage of its own."""

    held: Tensor

    @staticmethod
    def __new__(cls: Any, held: Tensor) -> Any:
        made = wrapper_tensor(cls, held)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        def held(leaf: Any) -> Any:
            return leaf.held if isinstance(leaf, Wrapped) else leaf

        return func(*tree_map(held, args), **tree_map(held, kwargs or {}))


def test_tensor_without_storage() -> None:
    side = Wrapped(A)
    assert same(jacengine.auto(lambda x: (x @ side).tanh(), X), WANTED)
    assert same(jacengine.auto(lambda x, s: (x @ s).tanh(), X, side), WANTED)


class OnlyForward(torch.autograd.Function):
    """A cube with a JVP alone."""

    @staticmethod
    def forward(x: Any) -> Any:
        return x**3

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_forward(*inputs)
        ctx.factor = 3

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        (x,) = ctx.saved_tensors
        return ctx.factor * x**2 * tangents[0]


class WrongForward(OnlyForward):
    """A cube with a JVP that is not of it."""

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        OnlyForward.setup_context(ctx, inputs, output)
        ctx.factor = 2


def cubed(function: Any) -> Callable[[Tensor], Tensor]:
    def fn(x: Tensor) -> Tensor:
        result: Tensor = function.apply(x).sin()
        return result

    return fn


@pytest.mark.parametrize("batch_dim", [0, None])
def test_function_with_a_jvp_alone(batch_dim: int | None) -> None:
    J = jacengine.auto(cubed(OnlyForward), X, batch_dim=batch_dim)
    wanted = jacengine.auto(lambda x: (x**3).sin(), X, batch_dim=batch_dim)
    assert same(J, wanted)


@pytest.mark.parametrize("call", ["auto", "named"])
def test_function_with_a_wrong_jvp_alone(call: str) -> None:
    fn = cubed(WrongForward)
    strategy = "auto" if call == "auto" else "forward_dual"
    with pytest.warns(UserWarning, match="finite differences differ"):
        jacengine.jacobian(fn, X, strategy=strategy)


def test_second_derivatives_of_a_function_with_a_jvp_alone() -> None:
    with pytest.raises(jacengine.UnsupportedError, match=r"autograd\.Function"):
        jacengine.hessian(cubed(OnlyForward), X, batch_dim=0)
