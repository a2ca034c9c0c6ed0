"""How results nest and what shapes they have: as `torch.func.hessian` has them."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.func import hessian as torch_hessian

import jacengine
from jacengine import ArgumentError
from tests.contract.compare import assert_same
from tests.contract.scenario import Case
from tests.contract.tree import PyTree, tree_map
from tests.problems import mlp, randn
from tests.second_order.harness import QUANTITIES, automatically
from tests.second_order.reference import reference

FAST: dict[str, Any] = {"effort": "none"}


def two(x: dict[str, Tensor], y: Tensor) -> dict[str, Tensor]:
    """Map a dict and a tensor to a matrix and a number."""
    return {
        "m": torch.outer(x["a"].sin(), y) * x["b"].sum(),
        "n": (x["b"] ** 3).sum() * y.prod(),
    }


def nested() -> tuple[dict[str, Tensor], Tensor]:
    return {"a": randn(2), "b": randn(1, 3)}, randn(2, seed=5)


def energy(x: Tensor) -> Tensor:
    return (x**4).sum(-1) + x.prod(-1)


def test_one_input() -> None:
    x = randn(4)
    H = jacengine.hessian(energy, x, **FAST)
    assert_same(H, torch_hessian(energy)(x), 1e-12)
    assert_same(H, H.T.contiguous(), 1e-12)


def test_trees_nest_as_in_torch() -> None:
    x, y = nested()
    found = jacengine.hessian(two, x, y, **FAST)
    assert_same(found, torch_hessian(two)(x, y), 1e-12)
    assert list(found) == ["m", "n"]
    assert found["m"]["a"]["b"].shape == (2, 2, 2, 1, 3)
    both = jacengine.hessian(two, x, y, wrt=(0, 1), **FAST)
    assert_same(both, torch_hessian(two, argnums=(0, 1))(x, y), 1e-12)
    assert both["n"][1][0]["b"].shape == (2, 1, 3)


def test_an_argument_alone_and_in_a_tuple() -> None:
    x, y = nested()
    for wrt in (1, (1,)):
        found = jacengine.hessian(two, x, y, wrt=wrt, **FAST)
        assert_same(found, torch_hessian(two, argnums=wrt)(x, y), 1e-12)


def test_parameters_are_a_dict_of_dicts() -> None:
    model, x = mlp(2, 3, 1), randn(2)

    def loss(named: dict[str, Tensor]) -> Tensor:
        out: Tensor = functional_call(model, named, (x,))
        return out.squeeze()

    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = model

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.net(x)
            return out.squeeze()

    wanted = torch_hessian(loss)({k: v.detach() for k, v in model.named_parameters()})
    found = jacengine.hessian(Loss(), x, wrt="params", **FAST)
    renamed = {
        a.removeprefix("net."): {b.removeprefix("net."): h for b, h in line.items()}
        for a, line in found.items()
    }
    assert_same(renamed, wanted, 1e-11)
    only = jacengine.hessian(Loss(), x, wrt=["net.0.bias", "net.2.weight"], **FAST)
    assert list(only) == ["net.0.bias", "net.2.weight"]
    block = only["net.2.weight"]["net.0.bias"]
    assert_same(block, wanted["2.weight"]["0.bias"], 1e-11)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_parameters_of_samples(quantity: Any) -> None:
    options = {"wrt": "params", "batch_dim": 0}
    case = Case(mlp(2, 2, 2), (randn(3, 2),), options=options)
    wanted = reference(quantity, case)
    assert_same(automatically(quantity, case, **FAST), wanted, 1e-11)
    if quantity == "hessian":
        assert wanted["0.weight"]["2.bias"].shape == (3, 2, 2, 2, 2)
    elif quantity == "hessian_diagonal":
        assert wanted["0.weight"].shape == (3, 2, 2, 2)
    else:
        assert wanted.shape == (3, 2)


@pytest.mark.parametrize("batch_dim", [None, 0])
def test_flat_layout(batch_dim: int | None) -> None:
    lead = () if batch_dim is None else (4,)

    def fn(x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {
            "a": x.sin() * y.sum(-1, keepdim=True),
            "b": (x**2).sum(-1) * y.prod(-1),
        }

    x, y = randn(*lead, 3), randn(*lead, 2, seed=3)
    options: dict[str, Any] = {"wrt": (0, 1), "batch_dim": batch_dim, **FAST}
    blocks = jacengine.hessian(fn, x, y, **options)
    flat = jacengine.hessian(fn, x, y, layout="flat", **options)
    diagonal = jacengine.hessian_diagonal(fn, x, y, layout="flat", **options)
    for name in ("a", "b"):
        (xx, xy), (yx, yy) = blocks[name]
        top, bottom = torch.cat([xx, xy], dim=-1), torch.cat([yx, yy], dim=-1)
        whole = torch.cat([top, bottom], dim=-2)
        assert_same(flat[name], whole, 1e-13)
        own = whole.diagonal(dim1=-2, dim2=-1).contiguous()
        assert_same(diagonal[name], own, 1e-12)


def test_flat_layout_of_parameters() -> None:
    model, x = mlp(2, 3, 1), randn(4, 2)
    count = sum(p.numel() for p in model.parameters())
    options: dict[str, Any] = {"wrt": "params", "batch_dim": 0, **FAST}
    flat = jacengine.hessian(model, x, layout="flat", **options)
    assert flat.shape == (4, 1, count, count)
    named = jacengine.hessian(model, x, **options)
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    rows = [
        torch.cat([named[a][b].reshape(4, 1, n, m) for b, m in sizes.items()], dim=-1)
        for a, n in sizes.items()
    ]
    assert_same(flat, torch.cat(rows, dim=-2), 1e-12)
    diagonal = jacengine.hessian_diagonal(model, x, layout="flat", **options)
    assert_same(diagonal, flat.diagonal(dim1=-2, dim2=-1).contiguous(), 1e-11)
    views = jacengine.named_views(diagonal, model)
    apart = jacengine.hessian_diagonal(model, x, **options)
    assert_same(dict(views), apart, 1e-11)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_samples_on_other_axes(quantity: Any) -> None:
    def fn(x: Tensor, w: Tensor, y: Tensor) -> Tensor:
        return (x.T @ w).sin().sum(-1) * y.prod(-1)

    args = (randn(3, 4), randn(3, 2, seed=2), randn(4, 2, seed=3))
    for wrt in (0, 1, (0, 1, 2), (2, 0)):
        options = {"wrt": wrt, "batch_dim": (1, None, 0)}
        case = Case(fn, args, options=options)
        found = automatically(quantity, case, **FAST)
        assert_same(found, reference(quantity, case), 1e-11)


@pytest.mark.parametrize(
    "columns", [slice(1, 4), slice(None, None, 2), torch.tensor([4, 0, 2]), slice(0, 0)]
)
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_columns_are_a_part_of_the_whole(quantity: Any, columns: Any) -> None:
    def fn(x: Tensor, y: Tensor) -> Tensor:
        return (x.sum(-1) * y.prod(-1)).sin() + (x**3).sum(-1)

    x, y = randn(4, 3), randn(4, 2, seed=2)
    options: dict[str, Any] = {"wrt": (0, 1), "batch_dim": 0, **FAST}
    whole = jacengine.hessian(fn, x, y, layout="flat", **options)
    own = whole.diagonal(dim1=-2, dim2=-1)[..., columns]
    case = Case(fn, (x, y))
    found = automatically(quantity, case, columns=columns, **options)
    if quantity == "hessian":
        flat = torch.cat([found[0], found[1]], dim=1)
        assert_same(flat, whole[..., columns].contiguous(), 1e-12)
    elif quantity == "hessian_diagonal":
        assert_same(found, own.contiguous(), 1e-12)
    else:
        assert_same(found, own.sum(-1), 1e-12)


def test_rows_are_entries_of_the_gradient() -> None:
    x, y = nested()
    options: dict[str, Any] = {"wrt": (0, 1), **FAST}
    flat = jacengine.hessian(two, x, y, layout="flat", **options)
    entries = torch.cat([flat["m"].reshape(-1, 7), flat["n"].reshape(-1, 7)])
    joined: dict[str, Any] = {"layout": "flat", **options}
    for rows in (slice(2, 9), torch.tensor([30, 0, 33, 0])):
        found = jacengine.hessian(two, x, y, rows=rows, **joined)
        assert_same(found, entries[rows], 1e-12)
    square = jacengine.hessian(
        two, x, y, rows=slice(-7, None), columns=slice(2, 4), **joined
    )
    assert_same(square, flat["n"][:, 2:4].contiguous(), 1e-12)


def results_like(tree: PyTree) -> PyTree:
    return tree_map(lambda t: torch.full_like(t, float("nan")), tree)


@pytest.mark.parametrize("batch_dim", [None, 0])
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_out_is_written(quantity: Any, batch_dim: int | None) -> None:
    case = Case(mlp(2, 3, 2), (randn(3, 2),), options={"batch_dim": batch_dim})
    wanted = reference(quantity, case)
    for strategy in jacengine.list_strategies(quantity):
        if strategy == "repeat_over_grad" and batch_dim is None:
            continue  # declines what has no samples
        out = results_like(wanted)
        found = automatically(quantity, case, out=out, strategies=[strategy], **FAST)
        assert found is out
        assert_same(out, wanted, 1e-11)


def test_out_of_trees_is_written() -> None:
    x, y = nested()
    wanted = jacengine.hessian(two, x, y, wrt=(0, 1), **FAST)
    out = results_like(wanted)
    found = jacengine.hessian(two, x, y, wrt=(0, 1), out=out, **FAST)
    assert found is out
    assert_same(out, wanted, 1e-12)


REFUSED: list[tuple[str, Any, str]] = [
    ("hessian", torch.zeros(5, 3).double(), "out= has shape"),
    ("hessian", torch.zeros(5, 3, 3), "out= has shape .* torch.float32"),
    ("hessian", torch.zeros(5, 3, 6).double()[..., ::2], "not contiguous"),
    ("hessian", [torch.zeros(5, 3, 3).double()], "out= nests as"),
    ("hessian", 3.0, "out= holds a float"),
    ("hessian_diagonal", torch.zeros(5, 3, 3).double(), "out= has shape"),
    ("hessian_diagonal", torch.zeros(5, 2).double(), "out= has shape"),
    ("laplacian", torch.zeros(5, 1).double(), "out= has shape"),
    ("laplacian", torch.zeros(4).double(), "out= has shape"),
    ("laplacian", {"x": torch.zeros(5).double()}, "out= nests as"),
]


@pytest.mark.parametrize(("quantity", "out", "said"), REFUSED)
def test_out_that_does_not_fit(quantity: Any, out: Any, said: str) -> None:
    case = Case(energy, (randn(5, 3),), options={"batch_dim": 0})
    with pytest.raises(ArgumentError, match=said):
        automatically(quantity, case, out=out, **FAST)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_out_and_a_graph(quantity: Any) -> None:
    case = Case(energy, (randn(5, 3),), options={"batch_dim": 0})
    out = reference(quantity, case)
    with pytest.raises(ArgumentError, match="create_graph=True cannot record"):
        automatically(quantity, case, out=out, create_graph=True, **FAST)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_results_are_contiguous_and_new(quantity: Any) -> None:
    case = Case(energy, (randn(5, 3),), options={"batch_dim": 0})
    wanted = reference(quantity, case)
    for strategy in jacengine.list_strategies(quantity):
        how: dict[str, Any] = {"strategies": [strategy], **FAST}
        first = automatically(quantity, case, **how)
        assert first.is_contiguous()
        assert first.grad_fn is None
        first.fill_(7)
        assert_same(automatically(quantity, case, **how), wanted, 1e-11)


def test_a_laplacian_has_samples_by_default() -> None:
    assert jacengine.laplacian(energy, randn(5, 3), **FAST).shape == (5,)
    assert jacengine.laplacian(energy, randn(3), batch_dim=None, **FAST).shape == ()


def test_aux_comes_along() -> None:
    def fn(x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return energy(x), {"norm": x.norm(dim=-1)}

    x = randn(5, 3)
    for quantity in QUANTITIES:
        case = Case(fn, (x,), options={"batch_dim": 0, "has_aux": True})
        found, aux = automatically(quantity, case, **FAST)
        assert_same((found, aux), reference(quantity, case), 1e-12)
        assert not aux["norm"].requires_grad
