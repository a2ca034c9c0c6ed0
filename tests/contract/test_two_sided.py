"""Jacobians by the colours of columns and rows together, against plain autograd."""

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

import jacengine
from jacengine.execution.method import TWO_SIDED, Method
from jacengine.execution.sweep import Sweep
from jacengine.interface import Composition
from jacengine.patterns.given import as_pattern
from jacengine.plans.plan import Plan
from jacengine.plans.resize import resize, unprepared
from jacengine.selection.first_choice import choose_first
from jacengine.strategies import BUILTIN
from tests.problems import plan_among, prepared, randn

LAYOUTS: tuple[Any, ...] = ("dict", "flat", "coo", "csr", "values")
PUSHING = [s for s in BUILTIN if s.capabilities.mode == "jvp"]
PULLING = [s for s in BUILTIN if s.capabilities.mode == "vjp"]
SIZE = 40


def arrow(x: Tensor) -> Tensor:
    """Have a full first row, a full first column, and a diagonal."""
    return torch.cat([x.pow(3).sum()[None], x[1:].sin() * x[0]])


def arrows(x: Tensor) -> Tensor:
    """Be that of each sample."""
    return torch.cat([x.pow(3).sum(1, keepdim=True), x[:, 1:].sin() * x[:, :1]], dim=1)


def reference(x: Tensor, fn: Callable[..., Tensor] = arrow) -> Tensor:
    J: Tensor = torch.autograd.functional.jacobian(fn, x)
    return J


def method_of(plan: Plan) -> Method:
    method = plan.chosen.method
    assert isinstance(method, Method)
    return method


def two_sided(*args: Any, **options: Any) -> Plan:
    """Make an untimed plan, which takes the fewest directions there are."""
    plan = jacengine.plan(*args, effort="none", sparsity="detect", **options)
    assert method_of(plan).other is not None
    return plan


def dense(result: Tensor, layout: Any, wanted: Tensor) -> Tensor:
    if layout in {"dict", "flat"}:
        return result
    if layout != "values":
        return result.to_dense()
    rows, columns = wanted.nonzero(as_tuple=True)
    J = torch.zeros_like(wanted)
    J[rows, columns] = result
    return J


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("verify", [True, False])
def test_layouts(layout: Any, verify: bool) -> None:
    plan = two_sided(arrow, randn(SIZE), layout=layout, verify=verify)
    method = method_of(plan)
    assert [side.seeding for side in method.sides] == [TWO_SIDED, TWO_SIDED]
    assert method.directions(plan.problem) == 2 + 1 + verify
    for seed in (3, 4):
        x = randn(SIZE, seed=seed)
        wanted = reference(x)
        torch.testing.assert_close(dense(plan(x), layout, wanted), wanted)


@pytest.mark.parametrize("pushing", PUSHING, ids=lambda s: s.name)
@pytest.mark.parametrize("pulling", PULLING, ids=lambda s: s.name)
def test_every_pair(pushing: Any, pulling: Any) -> None:
    x = randn(SIZE)
    try:
        plan = plan_among([pushing, pulling], arrow, x, sparsity="detect")
    except jacengine.NoStrategyError:
        return
    method = method_of(plan)
    if method.other is None:  # one of the two does not differentiate inputs
        assert len(plan.selection.ranked) == 1
        return
    assert (method.name, method.other.name) == (pushing.name, pulling.name)
    torch.testing.assert_close(plan(x), reference(x))


@pytest.mark.parametrize("layout", ["dict", "values"])
@pytest.mark.parametrize("chunks", [(1, 1), (1, None), (None, 1)])
def test_chunks(layout: Any, chunks: tuple[int | None, int | None]) -> None:
    x = randn(SIZE)
    plan = two_sided(arrow, x, layout=layout)
    push, pull = method_of(plan).sides
    method = replace(
        push,
        chunk_size=chunks[0],
        other=replace(pull, chunk_size=chunks[1]),
    )
    shares: list[float] = []
    result = Sweep(plan.problem, method).run(
        plan.problem.bind(plan.callee, [x]),
        checked=True,
        progress=lambda _, done: shares.append(done),
    )
    wanted = reference(x)
    torch.testing.assert_close(dense(result.nested(), layout, wanted), wanted)
    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_samples(layout: Any) -> None:
    x = randn(3, SIZE)
    plan = two_sided(arrows, x, batch_dim=0, layout=layout)
    assert method_of(plan).directions(plan.problem) == 2 + 1 + 1
    for batch in (x, randn(5, SIZE, seed=7)):  # the second is another number of samples
        wanted = torch.stack([reference(one) for one in batch])
        found = plan(batch)
        if layout == "values":
            rows, columns = wanted[0].nonzero(as_tuple=True)
            torch.testing.assert_close(found, wanted[:, rows, columns])
        else:
            torch.testing.assert_close(dense(found, layout, wanted), wanted)


@pytest.mark.parametrize("create_graph", [False, True])
def test_slices_of_samples(create_graph: bool) -> None:
    x = randn(5, SIZE).requires_grad_(create_graph)
    plan = two_sided(arrows, x, batch_dim=0, create_graph=create_graph)
    bound = plan.problem.bind(plan.callee, [x])
    wanted = torch.stack([reference(one) for one in x])
    push, pull = method_of(plan).sides
    for sizes in ((2, 2), (2, None), (None, 2), (3, 2)):
        sides = [
            replace(side, slice_size=size)
            for side, size in zip((push, pull), sizes, strict=True)
        ]
        method = replace(sides[0], other=sides[1])
        found = Sweep(plan.problem, method).run(bound).nested()
        assert found.requires_grad == create_graph
        torch.testing.assert_close(found.detach(), wanted)


def test_more_samples_than_the_budget_has_room_for_go_in_slices() -> None:
    plan = two_sided(
        arrows, randn(4, SIZE), batch_dim=0, layout="values", memory_budget="8MiB"
    )
    x = randn(3000, SIZE, seed=7)
    _, selection = resize(
        plan.problem, plan.selection, plan.compositions, plan.callee, [x]
    )
    method = selection.ranked[0].method
    assert method is not None
    assert [side.slice_size is not None for side in method.sides] == [True, True]
    rows, columns = reference(x[-1]).nonzero(as_tuple=True)
    torch.testing.assert_close(plan(x)[-1], reference(x[-1])[rows, columns])


def test_neither_side_keeps_what_it_has_prepared() -> None:
    plan = two_sided(arrow, randn(SIZE))
    plain = [Composition(copy.copy(s.strategy)) for s in method_of(plan).sides]
    method = unprepared(plan.chosen, plain).method
    assert method is not None
    for side, composition in zip(method.sides, plain, strict=True):
        assert side.strategy is composition.strategy


@pytest.mark.parametrize("layout", ["dict", "values", "coo"])
@pytest.mark.parametrize("batch", [False, True])
def test_create_graph(layout: Any, batch: bool) -> None:
    x = (randn(3, SIZE) if batch else randn(SIZE)).requires_grad_()
    fn, batch_dim = (arrows, 0) if batch else (arrow, None)
    plan = two_sided(fn, x, layout=layout, create_graph=True, batch_dim=batch_dim)
    J = plan(x)
    total = J.to_dense() if layout == "coo" else J
    points = x if batch else x[None]
    wanted = torch.stack(
        [
            torch.autograd.functional.jacobian(arrow, one, create_graph=True)
            for one in points
        ]
    )
    gradients = [
        torch.autograd.grad(values.square().sum(), x)[0] for values in (total, wanted)
    ]
    torch.testing.assert_close(*gradients)


def test_shared_inputs() -> None:
    def fn(x: Tensor, w: Tensor) -> Tensor:
        return torch.cat([(x * w).sum(1, keepdim=True), x[:, 1:] * w[0] * x[:, :1]], 1)

    x, w = randn(3, SIZE), randn(SIZE, seed=5)
    options: dict[str, Any] = {"wrt": (0, 1), "batch_dim": (0, None)}
    plan = two_sided(fn, x, w, layout="flat", **options)
    for sample, J in zip(x, plan(x, w), strict=True):
        wanted = torch.autograd.functional.jacobian(
            lambda x, w: fn(x[None], w)[0], (sample, w)
        )
        torch.testing.assert_close(J, torch.cat(wanted, dim=1))


@pytest.mark.parametrize("layout", ["dict", "values"])
def test_out(layout: Any) -> None:
    x = randn(SIZE)
    plan = two_sided(arrow, x, layout=layout)
    out = torch.full_like(plan(x), torch.nan)
    for seed in (3, 4):
        there = randn(SIZE, seed=seed)
        assert plan(there, out=out) is out
        wanted = reference(there)
        torch.testing.assert_close(dense(out, layout, wanted), wanted)


def test_the_race_takes_it_and_explains_it() -> None:
    x = randn(3000)
    plan = jacengine.plan(arrow, x, layout="values")
    assert method_of(plan).other is not None
    said = " ".join(plan.explain().split())
    assert "3 colours" in said
    assert "two-sided" in said
    assert "rows by" in said
    pattern = plan.problem.pattern
    assert pattern is not None
    assert pattern.colors == 3
    # The first row is 3 x^2, the first column sin(x), the diagonal x_0 cos(x).
    first = 3 * x.square()
    rest = torch.stack([x[1:].sin(), x[0] * x[1:].cos()], dim=1).flatten()
    torch.testing.assert_close(plan(x), torch.cat([first, rest]))


def test_the_first_call_takes_it() -> None:
    x = randn(SIZE)
    problem, bound = prepared(arrow, x)
    problem = replace(problem, pattern=as_pattern(reference(x) != 0))
    compositions = [Composition(s) for s in BUILTIN]
    selection, computed = choose_first(problem, bound, compositions, budget=2**30)
    pairs = [r for r in selection.ranked if r.method and r.method.other]
    assert len(pairs) == 1
    assert computed is not None
    torch.testing.assert_close(computed.nested(), reference(x))


def test_auto_finds_it_by_itself() -> None:
    x = randn(300)
    torch.testing.assert_close(jacengine.auto(arrow, x), reference(x))
    plan = jacengine.plan(arrow, x, effort="none")
    assert method_of(plan).other is not None


def test_an_operator_multiplies_by_the_matrix() -> None:
    x = randn(300)
    op = jacengine.operator(arrow, x, timed=False)
    assert "3 colours" in op.method
    torch.testing.assert_close(op @ x, reference(x) @ x)
    torch.testing.assert_close(op.T @ x, reference(x).T @ x)


def test_saved_plans(tmp_path: Any) -> None:
    x, path = randn(SIZE), tmp_path / "plan.json"
    plan = two_sided(arrow, x)
    plan.save(path)
    loaded = jacengine.load_plan(path, arrow, x, sparsity="detect")
    assert method_of(loaded) == method_of(plan)
    torch.testing.assert_close(loaded(x), reference(x))
    other = method_of(plan).other
    assert other is not None
    path.write_text(path.read_text().replace(f'"{other.name}"', '"nothing"'))
    with pytest.raises(jacengine.ArgumentError, match="nothing"):
        jacengine.load_plan(path, arrow, x, sparsity="detect")


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own
def test_plans_can_be_pickled() -> None:
    x = randn(SIZE)
    again = pickle.loads(pickle.dumps(two_sided(arrow, x)))
    assert method_of(again).other is not None
    torch.testing.assert_close(again(x), reference(x))


def test_threads_share_a_plan() -> None:
    plan = two_sided(arrow, randn(300), layout="values")
    points = [randn(300, seed=seed) for seed in range(8)]
    wanted = [plan(x) for x in points]
    with ThreadPoolExecutor(4) as pool:
        for found, right in zip(pool.map(plan, points), wanted, strict=True):
            torch.testing.assert_close(found, right)


def test_budgets() -> None:
    x = randn(3000)
    plan = jacengine.plan(arrow, x, layout="values", memory_budget="4MiB")
    assert method_of(plan).other is not None  # all directions of one side: 72 MB
    rows, columns = reference(x).nonzero(as_tuple=True)
    torch.testing.assert_close(plan(x), reference(x)[rows, columns])


def test_compiled_plans() -> None:
    x, there = randn(1500), randn(1500, seed=8)
    only = ["vmap_jvp", "vmap_vjp"]
    plan = jacengine.plan(arrow, x, layout="values", compiled=True, strategies=only)
    wanted = reference(there)
    torch.testing.assert_close(dense(plan(there), "values", wanted), wanted)
    pairs = [r for r in plan.selection.ranked if r.method and r.method.other]
    assert any(result.compiled for result in pairs)


def test_symmetric_hessians_have_fewer_colours() -> None:
    def energy(x: Tensor) -> Tensor:
        return x[0] * x[1:].sin().sum() + x.pow(3).sum()

    x = randn(SIZE)
    plan = jacengine.plan(
        energy, x, quantity="hessian", sparsity="detect", effort="none"
    )
    assert method_of(plan).other is None
    assert "2 colours" in plan.explain()


def test_hessians_of_several_outputs() -> None:
    def fn(x: Tensor) -> Tensor:
        return torch.stack([x[0] * x.square().sum(), x[1] ** 3])

    x = randn(SIZE)
    plan = two_sided(fn, x, quantity="hessian")
    every: list[Any] = [
        torch.autograd.functional.hessian(lambda x, k=k: fn(x)[k], x) for k in (0, 1)
    ]
    wanted = torch.stack(every)
    torch.testing.assert_close(plan(x), wanted)


# --- patterns that are too small


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("entry", [(0, 5), (7, 0), (7, 7)], ids=str)
@pytest.mark.parametrize("verify", [True, False])
def test_a_missing_entry_is_found_out(
    layout: Any, entry: tuple[int, int], verify: bool
) -> None:
    x = randn(SIZE)
    mask = reference(x) != 0
    mask[entry] = False
    options: dict[str, Any] = {"layout": layout, "verify": verify}
    with pytest.raises(jacengine.PatternError, match="given by the user"):
        jacengine.plan(arrow, x, sparsity=mask, effort="none", **options)
    with pytest.raises(jacengine.PatternError, match="given by the user"):
        jacengine.auto(arrow, x, sparsity=mask, **options)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("entry", [(3, 9), (SIZE - 1, SIZE - 2)], ids=str)
@pytest.mark.parametrize("batch", [False, True])
def test_another_nonzero_at_a_later_call_is_found_out(
    layout: Any, entry: tuple[int, int], batch: bool
) -> None:
    row, column = entry

    def fn(x: Tensor, more: Tensor) -> Tensor:
        found = arrows(x)
        extra = torch.zeros_like(found)
        extra[:, row] = more * x[:, column]
        return found + extra

    x, none = randn(2 if batch else 1, SIZE), torch.zeros((), dtype=torch.float64)
    mask = reference(x[0]) != 0
    method: Any = {"sparsity": as_pattern(mask), "effort": "none", "layout": layout}
    plan = jacengine.plan(fn, x, none, batch_dim=(0, None), **method)
    assert method_of(plan).other is not None
    plan(x, none)
    with pytest.raises(jacengine.PatternError):
        plan(x, none + 1e-3)


@st.composite
def functions(draw: st.DrawFn) -> tuple[Callable[[Tensor], Tensor], Tensor, Tensor]:
    """Draw a function with full rows and columns, a point, and its pattern."""
    m, n = draw(st.integers(2, 12)), draw(st.integers(2, 12))
    seed, share = draw(st.integers(0, 999)), draw(st.floats(0, 0.3))
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(m, n, generator=generator) < share
    mask[draw(st.integers(0, m - 1))] = True
    mask[:, draw(st.integers(0, n - 1))] = True
    weights = 0.5 + torch.rand(m, n, generator=generator, dtype=torch.float64)
    return (lambda x: (mask * weights) @ x.sin()), randn(n, seed=seed), mask


@given(functions(), st.sampled_from(["dict", "values"]))
@settings(max_examples=30, deadline=None)
def test_random_functions(call: Any, layout: Any) -> None:
    fn, x, mask = call
    wanted = reference(x, fn)
    plan = jacengine.plan(fn, x, sparsity=mask, layout=layout, effort="none")
    torch.testing.assert_close(dense(plan(x), layout, wanted), wanted)
    pattern = plan.problem.pattern
    assert pattern is not None
    if pattern.two_sided_coloring is not None:
        assert method_of(plan).directions(plan.problem) == pattern.colors + 1
