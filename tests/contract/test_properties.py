"""Properties of a Jacobian that hold whatever the function, the sizes, the strategy."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import torch
from hypothesis import given, settings
from torch import Tensor, nn

import jacengine
from tests.contract.compare import assert_same
from tests.contract.reference import reference_jacobian
from tests.contract.scenario import Case
from tests.problems import OF_INPUTS, OF_ONE_INPUT, OF_PARAMETERS, mlp, randn

FEW = settings(max_examples=12)
"""Each example runs every strategy."""

REVERSE = ("reverse_loop", "repeat", "batched_grad", "vmap_vjp")
FORWARD = ("double_vjp", "double_vjp_repeat", "forward_dual", "vmap_jvp")

CHUNKS = st.sampled_from([None, 1, 2, 99])
SIZES = st.integers(0, 4)


@dataclass(frozen=True)
class Net:
    """A network without modules, so that its sizes may be zero."""

    first: Tensor
    second: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        h = torch.tanh(x @ self.first)
        return (h * h.sin()) @ self.second


@st.composite
def calls(draw: st.DrawFn, sizes: st.SearchStrategy[int] = SIZES) -> Case:
    """Draw a function of `I` inputs and `O` outputs at one point or at `B`."""
    i, o, seed = draw(sizes), draw(sizes), draw(st.integers(0, 99))
    net = Net(randn(i, 3, seed=seed), randn(3, o, seed=seed + 1))
    batch = draw(st.one_of(st.none(), sizes))
    if batch is None:
        return Case(net, (randn(i, seed=seed + 2),))
    options = {"batch_dim": draw(st.sampled_from([None, 0]))}
    return Case(net, (randn(batch, i, seed=seed + 2),), options=options)


@st.composite
def modules(draw: st.DrawFn) -> Case:
    """Draw an MLP, a batch for it, and whether to keep the samples apart."""
    widths = draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    seed, batch = draw(st.integers(0, 99)), draw(st.integers(1, 4))
    options = {"wrt": "params", "batch_dim": draw(st.sampled_from([None, 0]))}
    x = randn(batch, widths[0], seed=seed)
    return Case(mlp(*widths, seed=seed), (x,), options=options)


def jacobian(case: Case, strategy: str, **options: Any) -> Any:
    named = {**case.options, **options}
    return jacengine.jacobian(case.fn, *case.args, strategy=strategy, **named)


@FEW
@given(case=calls(), chunk_size=CHUNKS)
def test_every_strategy_gives_the_same(case: Case, chunk_size: int | None) -> None:
    wanted = reference_jacobian(case)
    for strategy in OF_ONE_INPUT:
        assert_same(jacobian(case, strategy, chunk_size=chunk_size), wanted, 1e-10)


@FEW
@given(case=modules(), chunk_size=CHUNKS)
def test_every_strategy_gives_the_same_of_parameters(
    case: Case, chunk_size: int | None
) -> None:
    wanted = reference_jacobian(case)
    for strategy in OF_PARAMETERS:
        assert_same(jacobian(case, strategy, chunk_size=chunk_size), wanted, 1e-10)


@FEW
@given(case=calls(), seed=st.integers(0, 99))
def test_forward_and_reverse_are_adjoint(case: Case, seed: int) -> None:
    """`<u, J v> = <J^T u, v>`, with one J by forward and one by reverse mode."""
    x = case.args[0]
    axes = x.dim() - (0 if case.options.get("batch_dim") is None else 1)
    for forward, reverse in zip(FORWARD, REVERSE, strict=True):
        pushed, pulled = jacobian(case, forward), jacobian(case, reverse)
        flat = pushed.shape[: pushed.dim() - axes]
        v = randn(*pushed.shape[pushed.dim() - axes :], seed=seed).flatten()
        u = randn(*flat, seed=seed + 1).flatten()
        shape = (u.numel(), v.numel())
        left = u @ (pushed.reshape(shape) @ v)
        right = (pulled.reshape(shape).T @ u) @ v
        assert torch.allclose(left, right, rtol=1e-10, atol=1e-10)


@FEW
@given(data=st.data(), seed=st.integers(0, 99), size=st.integers(1, 5))
def test_samples_may_come_in_any_order(
    data: st.DataObject, seed: int, size: int
) -> None:
    order = torch.tensor(data.draw(st.permutations(range(size))))
    model, x = mlp(3, 4, 2, seed=seed), randn(size, 3, seed=seed)
    for wrt in ("inputs", "params"):
        case = Case(model, (x,), options={"batch_dim": 0, "wrt": wrt})
        mixed = Case(model, (x[order],), options=case.options)
        for strategy in OF_INPUTS if wrt == "inputs" else OF_PARAMETERS:
            J, again = jacobian(case, strategy), jacobian(mixed, strategy)
            wanted = (
                {n: b[order] for n, b in J.items()} if wrt == "params" else J[order]
            )
            assert_same(again, wanted, 1e-12)


def chosen(size: int) -> st.SearchStrategy[Any]:
    """Draw a selection among `size` entries: indices with repeats, or a slice."""
    ends = st.integers(-size, size)
    slices = st.builds(slice, ends, ends, st.integers(1, 3))
    if size == 0:
        return slices
    entries = st.lists(st.integers(-size, size - 1), max_size=5)
    return st.one_of(slices, entries.map(lambda e: torch.tensor(e, dtype=torch.int64)))


@FEW
@given(data=st.data(), case=calls(), chunk_size=CHUNKS)
def test_rows_and_columns_are_indices_into_the_whole(
    data: st.DataObject, case: Case, chunk_size: int | None
) -> None:
    every = {"rows": slice(None), "columns": slice(None)}
    whole = reference_jacobian(Case(case.fn, case.args, options=case.options | every))
    rows = data.draw(chosen(whole.shape[-2]), "rows")
    columns = data.draw(chosen(whole.shape[-1]), "columns")
    wanted = whole[..., rows, :][..., columns]
    for strategy in OF_ONE_INPUT:
        J = jacobian(case, strategy, rows=rows, columns=columns, chunk_size=chunk_size)
        assert_same(J, wanted, 1e-10)


@FEW
@given(data=st.data(), case=modules())
def test_rows_and_columns_of_parameters(data: st.DataObject, case: Case) -> None:
    every = {"rows": slice(None), "columns": slice(None)}
    whole = reference_jacobian(Case(case.fn, case.args, options=case.options | every))
    rows = data.draw(chosen(whole.shape[-2]), "rows")
    columns = data.draw(chosen(whole.shape[-1]), "columns")
    wanted = whole[..., rows, :][..., columns]
    for strategy in OF_PARAMETERS:
        J = jacobian(case, strategy, rows=rows, columns=columns)
        assert_same(J, wanted, 1e-10)


def energy(J: Any) -> Tensor:
    """Make a number of a Jacobian that depends on each entry in its own way."""
    blocks = list(J.values()) if isinstance(J, dict) else [J]
    flat = torch.cat([block.flatten() for block in blocks])
    weights = torch.linspace(1, 2, max(flat.numel(), 1), dtype=flat.dtype)
    return (weights[: flat.numel()] * flat.square()).sum()


def gradients(
    make: Callable[[Tensor, dict[str, Tensor]], Any], model: nn.Module, x: Tensor
) -> tuple[Tensor, ...]:
    """Differentiate `energy` of a Jacobian to the input and the parameters."""
    point = x.clone().requires_grad_()
    parameters: dict[str, Tensor] = {**dict(model.named_parameters())}
    found = torch.autograd.grad(
        energy(make(point, parameters)),
        (point, *parameters.values()),
        allow_unused=True,
        materialize_grads=True,
    )
    return tuple(found)


def of_torch_func(model: nn.Module, wrt: str, batch_dim: int | None) -> Any:
    """Make the same Jacobian by `torch.func`."""
    jacrev: Callable[..., Any] = torch.func.jacrev

    def run(x: Tensor, parameters: dict[str, Tensor]) -> Any:
        def call(x: Tensor, parameters: dict[str, Tensor]) -> Any:
            return torch.func.functional_call(model, parameters, (x,))

        transformed = jacrev(call, argnums=0 if wrt == "inputs" else 1)
        if batch_dim is None:
            return transformed(x, parameters)
        return torch.func.vmap(transformed, (0, None))(x, parameters)

    return run


@settings(max_examples=8)
@given(
    widths=st.lists(st.integers(1, 3), min_size=3, max_size=3),
    batch=st.integers(1, 3),
    wrt=st.sampled_from(["inputs", "params"]),
    batch_dim=st.sampled_from([None, 0]),
    chunk_size=CHUNKS,
)
def test_a_function_of_the_result_can_be_differentiated(
    widths: list[int],
    batch: int,
    wrt: str,
    batch_dim: int | None,
    chunk_size: int | None,
) -> None:
    model, x = mlp(*widths), randn(batch, widths[0])
    wanted = gradients(of_torch_func(model, wrt, batch_dim), model, x)
    for strategy in OF_INPUTS if wrt == "inputs" else OF_PARAMETERS:

        def make(x: Tensor, _: Any, strategy: str = strategy) -> Any:
            return jacengine.jacobian(
                model,
                x,
                wrt=wrt,
                batch_dim=batch_dim,
                strategy=strategy,
                chunk_size=chunk_size,
                create_graph=True,
            )

        for got, want in zip(gradients(make, model, x), wanted, strict=True):
            assert_same(got, want, 1e-9)
