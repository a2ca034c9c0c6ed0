"""`triangle="lower"`: Hessians by the entries on and below the diagonal."""

from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

import jacengine
from jacengine.patterns.given import as_pattern
from tests.problems import randn

LAYOUTS: tuple[Any, ...] = ("coo", "csr", "values")


def chain(x: Tensor) -> Tensor:
    """Have a tridiagonal Hessian."""
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def arrowhead(x: Tensor) -> Tensor:
    """Have a full first row and column: most entries are read as mirror images."""
    return (x[0] * x[1:].sin()).sum() + x.pow(3).sum()


def lattice(x: Tensor) -> Tensor:
    """Have the pattern of a five-point stencil on 4 by 4."""
    u = x.reshape(4, 4)
    return (u[1:] * u[:-1]).sin().sum() + (u[:, 1:] - u[:, :-1]).pow(4).sum()


ENERGIES = {
    "chain": (chain, 9),
    "arrowhead": (arrowhead, 9),
    "lattice": (lattice, 16),
}


def reference(fn: Any, x: Tensor, *, create_graph: bool = False) -> Tensor:
    H: Any = torch.autograd.functional.hessian(fn, x, create_graph=create_graph)
    assert isinstance(H, Tensor)
    return H


def lower(H: Tensor) -> Tensor:
    """List the entries on and below the diagonal that are other than zero, by row."""
    rows, columns = H.tril().nonzero(as_tuple=True)
    return H[rows, columns]


def dense(found: Tensor, layout: Any, wanted: Tensor) -> Tensor:
    if layout != "values":
        return found.to_dense()
    H = torch.zeros_like(wanted)
    H[wanted.tril().nonzero(as_tuple=True)] = found.to(H)
    return H


@pytest.mark.parametrize("name", ENERGIES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("effort", ["none", "quick"])
def test_layouts(name: str, layout: Any, effort: Any) -> None:
    fn, size = ENERGIES[name]
    x = randn(size)
    wanted = reference(fn, x)
    found = jacengine.hessian(fn, x, layout=layout, triangle="lower", effort=effort)
    torch.testing.assert_close(dense(found, layout, wanted), wanted.tril())
    values = found if layout == "values" else found.values()
    torch.testing.assert_close(values, lower(wanted))


@pytest.mark.parametrize("name", ENERGIES)
@pytest.mark.parametrize("strategy", jacengine.list_strategies("hessian"))
def test_every_method_in_chunks(name: str, strategy: str) -> None:
    fn, size = ENERGIES[name]
    x, there = randn(size), randn(size, seed=4)
    options: dict[str, Any] = {"quantity": "hessian", "strategies": [strategy]}
    try:
        jacengine.plan(fn, x, effort="none", sparsity=None, **options)
    except jacengine.NoStrategyError:
        return
    for verify in (True, False):
        plan = jacengine.plan(
            fn,
            x,
            layout="values",
            triangle="lower",
            effort="none",
            verify=verify,
            **options,
        )
        wanted = reference(fn, there)
        torch.testing.assert_close(plan(there), lower(wanted))


def test_samples_and_out() -> None:
    def energies(x: Tensor) -> Tensor:
        return (x[:, 0:1] * x[:, 1:].sin()).sum(1) + x.pow(3).sum(1)

    x = randn(4, 7)
    wanted = torch.stack([reference(arrowhead, one) for one in x])
    plan = jacengine.plan(
        energies, x, quantity="hessian", batch_dim=0, layout="values", triangle="lower"
    )
    values = torch.stack([lower(H) for H in wanted])
    torch.testing.assert_close(plan(x), values)
    out = torch.full_like(values, torch.nan)
    assert plan(x, out=out) is out
    torch.testing.assert_close(out, values)
    found = jacengine.hessian(
        energies, x, batch_dim=0, layout="coo", triangle="lower", sparsity="detect"
    )
    torch.testing.assert_close(found.to_dense(), wanted.tril())


@pytest.mark.parametrize("name", ENERGIES)
def test_create_graph(name: str) -> None:
    fn, size = ENERGIES[name]
    x = randn(size).requires_grad_()
    found = jacengine.hessian(
        fn, x, layout="values", triangle="lower", create_graph=True
    )
    H = reference(fn, x, create_graph=True)
    gradients = [
        torch.autograd.grad(values.square().sum(), x)[0] for values in (found, H.tril())
    ]
    torch.testing.assert_close(*gradients)


def test_a_pattern_that_is_too_small_is_found_out() -> None:
    def coupled(x: Tensor) -> Tensor:
        return chain(x) + x[0] * x[-1].sin()

    x = randn(9)
    small = as_pattern(torch.ones(9, 9, dtype=torch.bool).tril(1).triu(-1))
    for fn, pattern in ((coupled, small), (arrowhead, small)):
        for verify in (True, False):
            with pytest.raises(jacengine.PatternError, match="given by the user"):
                jacengine.hessian(
                    fn,
                    x,
                    layout="csr",
                    triangle="lower",
                    sparsity=pattern,
                    verify=verify,
                )


def test_saved_plans(tmp_path: Any) -> None:
    x, path = randn(9), tmp_path / "plan.json"
    options: dict[str, Any] = {"quantity": "hessian", "layout": "values"}
    jacengine.plan(chain, x, triangle="lower", **options).save(path)
    loaded = jacengine.load_plan(path, chain, x)
    wanted = lower(reference(chain, x))
    torch.testing.assert_close(loaded(x), wanted)
    with pytest.raises(jacengine.PlanMismatchError, match="made with"):
        jacengine.load_plan(path, chain, x, triangle=None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "dict"}, "take H.tril"),
        ({"layout": "flat"}, "take H.tril"),
        ({"triangle": "upper"}, "expected 'lower', or None"),
        ({"sparsity": torch.ones(9, 9, dtype=torch.bool).tril()}, "Give both"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    chosen: dict[str, Any] = {"layout": "coo", "triangle": "lower", **options}
    with pytest.raises(jacengine.ArgumentError, match=message):
        jacengine.hessian(chain, randn(9), **chosen)


def test_what_is_not_symmetric_has_no_triangle() -> None:
    with pytest.raises(jacengine.ArgumentError, match="is of a Hessian"):
        jacengine.plan(torch.sin, randn(9), layout="coo", triangle="lower")
    with pytest.raises(jacengine.ArgumentError, match="36 x 6"):
        jacengine.hessian(lambda x: x**3, randn(6), layout="coo", triangle="lower")


@pytest.mark.filterwarnings("ignore:.*found anew")  # of the same code, other indices
@given(st.integers(1, 9), st.integers(0, 999), st.floats(0, 0.7))
@settings(max_examples=25, deadline=None)
def test_random_hessians(size: int, seed: int, share: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(size, size, generator=generator) < share
    rows, columns = mask.nonzero(as_tuple=True)

    def energy(x: Tensor) -> Tensor:
        return (x[rows] * x[columns].exp()).sum() + x[0] ** 2

    x = randn(size, seed=seed)
    H = reference(energy, x)
    found = jacengine.hessian(energy, x, layout="coo", triangle="lower", effort="none")
    torch.testing.assert_close(found.to_dense(), H.tril())
