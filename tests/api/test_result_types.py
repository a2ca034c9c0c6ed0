"""What type checkers are told comes back, which is what does.

The lint step reads this file: `assert_type` is checked by mypy and by pyright.
"""

import functools
from collections.abc import Callable
from typing import Any, assert_type

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine.api.function_types import SparseLayout
from tests.problems import randn


def field(x: Tensor) -> Tensor:
    return x.sin() * x.roll(1, -1)


def energy(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sin().sum()


def untyped(x: Tensor) -> Any:
    return {"a": field(x)}


def pair(x: Tensor) -> tuple[Tensor, Tensor]:
    return field(x), 2 * x


def with_aux(x: Tensor) -> tuple[Tensor, str]:
    return field(x), "aux"


class Net(nn.Module):
    """One output, and an annotation that says so."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(randn(3))

    def forward(self, x: Tensor) -> Tensor:
        return field(x) * self.weight**2


class Twins(Net):
    """Two outputs, by a name that checkers take for a function of anything."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return field(x), self.weight * x


X, Y = randn(3), randn(3, seed=1)


def are_tensors(*found: object) -> bool:
    """Tell whether these are tensors, or tuples and dicts of nothing else."""
    leaves: list[object] = []
    for one in found:
        if isinstance(one, dict):
            leaves += [are_tensors(*one.values()) and bool(one)]
        elif isinstance(one, tuple):
            leaves += [are_tensors(*one) and bool(one)]
        else:
            leaves += [isinstance(one, Tensor)]
    return all(leaves)


def test_a_function_of_tensors_that_returns_one() -> None:
    J = assert_type(jacengine.auto(field, X), Tensor)
    by_second = assert_type(jacengine.auto(energy, X, Y, wrt=1), Tensor)
    by_name = assert_type(jacengine.jacobian(field, X, strategy="vmap_vjp"), Tensor)
    H = assert_type(jacengine.hessian(field, X), Tensor)
    diagonal = assert_type(jacengine.hessian_diagonal(field, X), Tensor)
    product = assert_type(jacengine.hvp(field, X, vector=Y), Tensor)
    assert are_tensors(J, by_second, by_name, H, diagonal, product)


def test_several_arguments() -> None:
    both = (0, 1)
    J = assert_type(jacengine.auto(energy, X, Y, wrt=both), tuple[Tensor, ...])
    same = assert_type(jacengine.jacobian(energy, X, Y, wrt=both), tuple[Tensor, ...])
    H = assert_type(
        jacengine.hessian(energy, X, Y, wrt=(0, 1)), tuple[tuple[Tensor, ...], ...]
    )
    D = assert_type(
        jacengine.hessian_diagonal(energy, X, Y, wrt=both), tuple[Tensor, ...]
    )
    product = assert_type(
        jacengine.hvp(energy, X, Y, wrt=both, vector=(X, Y)), tuple[Tensor, ...]
    )
    for found in (J, same, H, D, product):
        assert isinstance(found, tuple)
        assert len(found) == 2
        assert are_tensors(found)
    joined = assert_type(jacengine.auto(energy, X, Y, wrt=both, layout="flat"), Tensor)
    assert are_tensors(joined)


def test_parameters_of_an_annotated_module() -> None:
    net = Net()
    J = assert_type(jacengine.auto(net, X, wrt="params"), dict[str, Tensor])
    some = assert_type(jacengine.jacobian(net, X, wrt=["weight"]), dict[str, Tensor])
    H = assert_type(
        jacengine.hessian(net, X, wrt="params"), dict[str, dict[str, Tensor]]
    )
    D = assert_type(jacengine.hessian_diagonal(net, X, wrt="params"), dict[str, Tensor])
    product = assert_type(
        jacengine.hvp(net, X, wrt="params", vector={"weight": Y}), dict[str, Tensor]
    )
    for found in (J, some, H, D, product):
        assert isinstance(found, dict)
        assert list(found) == ["weight"]
        assert are_tensors(found)
    by_input = assert_type(jacengine.auto(net, X), Tensor)
    flat = assert_type(
        jacengine.auto(net, X, wrt="params", layout="flat", rows=slice(0, 2)), Tensor
    )
    chosen = jacengine.auto(net, X, wrt="params", columns=slice(0, 2))
    assert_type(chosen, Any)  # it is joined
    linear = nn.Linear(3, 2).double()
    of_layer = assert_type(jacengine.auto(linear, X, wrt="params"), dict[str, Tensor])
    assert are_tensors(by_input, flat, chosen, of_layer)


@pytest.mark.parametrize("layout", ["coo", "csr", "values"])
def test_one_sparse_matrix_of_whatever_nests(layout: SparseLayout) -> None:
    module: nn.Module = Net()
    found = (
        assert_type(jacengine.auto(pair, X, layout=layout), Tensor),
        assert_type(jacengine.jacobian(pair, X, layout=layout), Tensor),
        assert_type(jacengine.hessian(pair, X, layout=layout), Tensor),
        assert_type(jacengine.auto(module, X, wrt="params", layout=layout), Tensor),
    )
    assert are_tensors(*found)
    value, J = assert_type(
        jacengine.value_and_jacobian(pair, X, layout=layout), tuple[Any, Tensor]
    )
    assert are_tensors(value, J)


def test_what_comes_with_aux() -> None:
    J, aux = assert_type(
        jacengine.auto(with_aux, X, has_aux=True, layout="flat"), tuple[Any, Any]
    )
    _, of_hessian = assert_type(
        jacengine.hessian(with_aux, X, has_aux=True), tuple[Any, Any]
    )
    trace, of_trace = assert_type(
        jacengine.divergence(with_aux, X, has_aux=True, batch_dim=None),
        tuple[Tensor, Any],
    )
    (value, beside), _ = assert_type(
        jacengine.value_and_jacobian(with_aux, X, has_aux=True),
        tuple[tuple[Any, Any], Any],
    )
    assert are_tensors(J, trace, value)
    assert {aux, of_hessian, of_trace, beside} == {"aux"}


def test_values_and_jacobians() -> None:
    net = Net()
    found = (
        assert_type(jacengine.value_and_jacobian(field, X), tuple[Tensor, Tensor]),
        assert_type(
            jacengine.value_and_jacobian(net, X, wrt="params"),
            tuple[Tensor, dict[str, Tensor]],
        ),
        assert_type(
            jacengine.value_and_jacobian(energy, X, Y, wrt=(0, 1)),
            tuple[Tensor, tuple[Tensor, ...]],
        ),
        assert_type(jacengine.value_and_jacobian(pair, X), tuple[Any, Any]),
    )
    for value, J in found:
        assert are_tensors(value, J)


def test_plans() -> None:
    plan = assert_type(jacengine.plan(field, X), jacengine.Plan[Tensor])
    J = assert_type(plan(X), Tensor)
    waited = assert_type(plan.wait(X)(X), Tensor)
    of_net = jacengine.plan(Net(), X, wrt="params", compiled=False)
    by_name = assert_type(of_net(X), dict[str, Tensor])
    sparse = assert_type(jacengine.plan(pair, X, layout="values")(X), Tensor)
    both = assert_type(
        jacengine.plan(energy, X, Y, wrt=(0, 1))(X, Y), tuple[Tensor, ...]
    )
    assert isinstance(by_name, dict)
    assert isinstance(both, tuple)
    assert are_tensors(J, waited, by_name, sparse, both)
    value = jacengine.plan(field, X, with_value=True)
    assert_type(value(X), Any)
    H = jacengine.plan(Net(), X, wrt="params", quantity="hessian")
    assert_type(H(X), Any)
    bare: jacengine.Plan = plan
    assert_type(bare(X), Any)


def test_pieces() -> None:
    xs, net = randn(4, 3), Net()
    for piece in jacengine.blocks(field, xs, batch_dim=0):
        assert_type(piece, jacengine.Piece[Tensor])
        assert are_tensors(assert_type(piece.jacobian, Tensor))
    for by in ("samples", "rows", "parameters"):
        pieces = jacengine.blocks(net, xs, wrt="params", batch_dim=0, by=by)
        found = assert_type(next(pieces).jacobian, dict[str, Tensor])
        assert isinstance(found, dict)
        assert are_tensors(found)
    flat = jacengine.blocks(net, xs, wrt="params", layout="flat")
    sparse = jacengine.blocks(pair, xs, batch_dim=0, layout="csr")
    assert are_tensors(
        assert_type(next(flat).jacobian, Tensor),
        assert_type(next(sparse).jacobian, Tensor),
    )
    assert_type(next(jacengine.blocks(pair, X)).jacobian, Any)


def test_sums_and_diagonals() -> None:
    D = assert_type(jacengine.diagonal(untyped, X), Tensor)
    both = assert_type(
        jacengine.diagonal(lambda x, y: (x * y, y), X, Y, wrt=(0, 1)),
        tuple[Tensor, ...],
    )
    trace = assert_type(jacengine.divergence(untyped, X, batch_dim=None), Tensor)
    sums = assert_type(jacengine.laplacian(field, X, batch_dim=None), Tensor)
    by_params = assert_type(
        jacengine.laplacian(Net(), X, wrt="params", batch_dim=None), Tensor
    )
    assert isinstance(both, tuple)
    assert are_tensors(D, both, trace, sums, by_params)
    estimate = assert_type(
        jacengine.laplacian(field, X, batch_dim=None, method="hutchinson"),
        jacengine.Estimate,
    )
    assert isinstance(estimate, jacengine.Estimate)
    assert_type(jacengine.laplacian(untyped, X, batch_dim=None), Any)


def test_what_is_not_known_is_not_promised() -> None:
    module: nn.Module = Twins()
    of_untyped = assert_type(jacengine.auto(untyped, X), Any)
    of_pair = assert_type(jacengine.auto(pair, X), Any)
    of_module = assert_type(jacengine.auto(module, X, wrt="params"), Any)
    flat = assert_type(jacengine.auto(module, X, layout="flat"), Any)
    of_twins = assert_type(jacengine.auto(Twins(), X), Any)
    assert isinstance(of_untyped, dict)
    for found in (of_pair, of_module, flat, of_twins):
        assert isinstance(found, tuple)
    nested = jacengine.auto(lambda x: field(x["a"]), {"a": X})
    assert_type(nested, Any)
    assert isinstance(nested, dict)
    options: dict[str, Any] = {"wrt": (0, 1)}
    dynamic = jacengine.auto(energy, X, Y, **options)
    assert dynamic.count(None) == 0  # which tensors have not: checkers would say so
    assert isinstance(dynamic, tuple)


def test_any_callable() -> None:
    product: Callable[..., Tensor] = torch.outer
    found = (
        assert_type(jacengine.auto(torch.sin, X), Tensor),
        assert_type(jacengine.auto(functools.partial(product, Y), X), Tensor),
        assert_type(jacengine.auto(Net().forward, X), Tensor),
    )
    assert are_tensors(*found)
