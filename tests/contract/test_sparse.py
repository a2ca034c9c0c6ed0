"""Sparse Jacobians and Hessians: every strategy, every layout, against dense ones."""

import itertools
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

import jacengine
from jacengine.execution.method import COLORS, Method
from jacengine.execution.sweep import Sweep
from jacengine.interface import Composition
from jacengine.patterns.given import as_pattern
from jacengine.patterns.pattern import Pattern
from jacengine.plans import planning
from jacengine.problem.problem import Problem
from jacengine.selection.candidates import candidates
from jacengine.strategies import BUILTIN
from jacengine.strategies.vmap_vjp import VmapVjp
from tests.broken_strategies import Forward, scaling_where, spoiling
from tests.problems import plan_among, prepared, randn

PRODUCTS = [s for s in BUILTIN if s.capabilities.mode in {"jvp", "vjp"}]
LAYOUTS: tuple[Any, ...] = ("dict", "flat", "coo", "csr", "values")


@dataclass(frozen=True)
class Sparse:
    """A call whose Jacobian is sparse."""

    fn: Callable[..., Any]
    args: tuple[Tensor, ...]
    options: dict[str, Any] = field(default_factory=dict)


def heat(u: Tensor) -> Tensor:
    conductivity = 1 + u[1:-1] ** 2
    return conductivity * (u[2:] - 2 * u[1:-1] + u[:-2])


def chain(x: Tensor) -> Tensor:
    return x[:, 1:].sin() * x[:, :-1]


def brusselator(y: Tensor) -> Tensor:
    u, v = y[0], y[1]

    def laplace(w: Tensor) -> Tensor:
        near = [w.roll(shift, axis) for shift in (1, -1) for axis in (0, 1)]
        return torch.stack(near).sum(0) - 4 * w

    reaction = u * u * v
    return torch.stack(
        [1 + reaction - 4.4 * u + laplace(u), 3.4 * u - reaction + laplace(v)]
    )


CONV = nn.Conv2d(2, 1, 3, padding=1).double()

CALLS: dict[str, Sparse] = {
    "heat": Sparse(heat, (randn(12),)),
    "elementwise": Sparse(lambda x: x.sin() * x, (randn(3, 4),)),
    "brusselator": Sparse(brusselator, (randn(2, 4, 4),)),
    "convolution": Sparse(lambda x: CONV(x).tanh(), (randn(1, 2, 5, 5),)),
    "samples": Sparse(chain, (randn(3, 7),), {"batch_dim": 0}),
    "samples last": Sparse(lambda x: chain(x.T), (randn(7, 3),), {"batch_dim": (1,)}),
    "two inputs": Sparse(
        lambda x, y: x[1:] * y[:-1].exp(), (randn(6), randn(6, seed=2)), {"wrt": (0, 1)}
    ),
    "two outputs": Sparse(lambda x: (x[1:] * x[:-1], {"b": x.cos()}), (randn(6),)),
    "shared input": Sparse(
        lambda x, w: x * w[1:] + w[:-1],
        (randn(3, 5), randn(6, seed=3)),
        {"wrt": (0, 1), "batch_dim": (0, None)},
    ),
    "empty rows and columns": Sparse(
        lambda x: torch.cat([x[2:5].sin(), torch.zeros(2, dtype=x.dtype)]), (randn(8),)
    ),
    "one number": Sparse(lambda x: x.sin(), (randn(),)),
    "nothing": Sparse(lambda x: x.sin(), (randn(0),)),
    "float32": Sparse(heat, (randn(9).float(),)),
}


def flat_reference(call: Sparse) -> Tensor:
    """Return the dense Jacobian of all outputs by all inputs, `(S, M, N)`."""
    options: dict[str, Any] = {**call.options, "layout": "flat"}
    found = jacengine.jacobian(call.fn, *call.args, strategy="reverse_loop", **options)
    leaves = [found] if isinstance(found, Tensor) else [found[0], found[1]["b"]]
    size = 3 if "batch_dim" in call.options else 1
    n = leaves[0].shape[-1]
    return torch.cat(
        [leaf.reshape(size, leaf.numel() // max(1, size * n), n) for leaf in leaves],
        dim=1,
    )


def dense_of(result: Any, layout: Any, pattern: Pattern) -> Tensor:
    """Return a result in any sparse layout as `(S, M, N)`."""
    if layout == "values":
        values: Tensor = result if result.dim() == 2 else result.unsqueeze(0)
        matrix = values.new_zeros(values.shape[0], *pattern.shape)
        matrix[:, pattern.rows, pattern.columns] = values
        return matrix
    dense: Tensor = result.to_dense()
    return dense if dense.dim() == 3 else dense.unsqueeze(0)


EVERY = [
    *itertools.product(PRODUCTS, ("dict", "values")),
    *itertools.product(PRODUCTS[:1], ("flat", "coo", "csr")),
]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(("strategy", "layout"), EVERY, ids=str)
def test_every_strategy(name: str, strategy: Any, layout: Any) -> None:
    call = CALLS[name]
    options: dict[str, Any] = {**call.options, "sparsity": "detect", "layout": layout}
    problem, _ = prepared(call.fn, *call.args, **call.options)
    refusal = strategy.check(problem)
    if refusal is not None:
        with pytest.raises(jacengine.UnsupportedError, match=refusal.reason):
            jacengine.jacobian(call.fn, *call.args, strategy=strategy, **options)
        return
    found = jacengine.jacobian(call.fn, *call.args, strategy=strategy, **options)
    if layout in {"dict", "flat"}:
        plain: dict[str, Any] = {**call.options, "layout": layout}
        wanted = jacengine.jacobian(
            call.fn, *call.args, strategy="reverse_loop", **plain
        )
        torch.testing.assert_close(found, wanted)
        return
    where: dict[str, Any] = {
        k: v for k, v in call.options.items() if k in {"wrt", "batch_dim"}
    }
    pattern = jacengine.sparsity(call.fn, *call.args, **where)
    got = dense_of(found, layout, pattern)
    torch.testing.assert_close(got, flat_reference(call))


@pytest.mark.parametrize("name", ["brusselator", "samples", "two inputs"])
@pytest.mark.parametrize("strategy", ["vmap_jvp", "vmap_vjp", "reverse_loop"])
@pytest.mark.parametrize("chunk_size", [1, 2, 3])
@pytest.mark.parametrize("layout", ["dict", "values"])
def test_chunks(name: str, strategy: str, chunk_size: int, layout: Any) -> None:
    call = CALLS[name]
    options: dict[str, Any] = {**call.options, "layout": layout, "strategy": strategy}
    whole = jacengine.jacobian(call.fn, *call.args, sparsity="detect", **options)
    pieces = jacengine.jacobian(
        call.fn, *call.args, sparsity="detect", chunk_size=chunk_size, **options
    )
    torch.testing.assert_close(pieces, whole)


@pytest.mark.parametrize("layout", ["dict", "values", "coo"])
@pytest.mark.parametrize("name", ["heat", "samples"])
@pytest.mark.parametrize("strategy", ["vmap_jvp", "vmap_vjp", "forward_dual"])
def test_create_graph(name: str, layout: Any, strategy: str) -> None:
    call = CALLS[name]
    (x,) = call.args
    gradients: list[Tensor] = []
    chosen: Any
    for sparsity, chosen in (("detect", layout), (None, "dict")):
        x = x.clone().requires_grad_()
        J = jacengine.jacobian(
            call.fn,
            x,
            strategy=strategy,
            create_graph=True,
            sparsity=sparsity,
            layout=chosen,
            **call.options,
        )
        total = J.to_dense() if chosen == "coo" else J
        gradients += torch.autograd.grad(total.square().sum(), x)
    torch.testing.assert_close(*gradients)


def test_samples_have_the_colours_of_one() -> None:
    call = CALLS["samples"]
    problem, bound = prepared(call.fn, *call.args, sparsity="detect", **call.options)
    pattern = jacengine.sparsity(call.fn, *call.args, **call.options)
    problem = _with(problem, pattern)
    (method,) = (
        m
        for m in candidates(problem, [Composition(s) for s in BUILTIN])
        if m.seeding == COLORS and m.name == "vmap_jvp"
    )
    assert pattern.shape == (6, 7)
    assert method.directions(problem) == 2 + 1  # and the check
    result = Sweep(problem, method).run(bound)
    wanted = jacengine.auto(call.fn, *call.args, sparsity=None, **call.options)
    torch.testing.assert_close(result.nested(), wanted)


def _with(problem: Problem, pattern: Pattern) -> Problem:
    return replace(problem, pattern=pattern)


HESSIANS: dict[str, Callable[[Tensor], Tensor]] = {
    "Rosenbrock": lambda x: (
        100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2
    ).sum(),
    "arrowhead": lambda x: (x[0] * x[1:].sin()).sum() + x.square().sum(),
}


@pytest.mark.parametrize("name", HESSIANS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("create_graph", [False, True])
def test_hessians(name: str, layout: Any, create_graph: bool) -> None:
    fn, x = HESSIANS[name], randn(9).requires_grad_(create_graph)
    wanted = jacengine.hessian(fn, x.detach(), sparsity=None)
    options: dict[str, Any] = {"sparsity": "detect", "create_graph": create_graph}
    if layout == "csr" and create_graph:
        with pytest.raises(jacengine.ArgumentError, match="layout='values' or 'coo'"):
            jacengine.hessian(fn, x, layout=layout, **options)
        return
    found = jacengine.hessian(fn, x, layout=layout, **options)
    pattern = jacengine.sparsity(fn, x.detach(), quantity="hessian")
    assert pattern.symmetric
    if layout not in {"dict", "flat"}:
        (found,) = dense_of(found, layout, pattern)
    torch.testing.assert_close(found.detach(), wanted)
    assert found.requires_grad == create_graph


SEVERAL: dict[str, Sparse] = {
    "inputs": Sparse(
        lambda x, y: (x[1:] * y[:-1]).sin().sum(), (randn(6), randn(6, seed=2))
    ),
    "values": Sparse(
        lambda x, y: {"b": x[1:] * x[:-1], "a": (x * y.sin()).sum()},
        (randn(6), randn(6, seed=2)),
    ),
    "samples": Sparse(
        lambda x, y: x[:, 1:] * y[:-1].exp(),
        (randn(3, 5), randn(5, seed=2)),
        {"batch_dim": (0, None)},
    ),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_hessians_of_several_inputs_or_values(name: str) -> None:
    call = SEVERAL[name]
    options: dict[str, Any] = {**call.options, "wrt": (0, 1)}
    for layout in ("dict", "flat"):
        found, wanted = (
            jacengine.hessian(
                call.fn, *call.args, sparsity=sparsity, layout=layout, **options
            )
            for sparsity in ("detect", None)
        )
        torch.testing.assert_close(found, wanted)
    parts = wanted.values() if isinstance(wanted, dict) else [wanted]
    size, n = 3 if call.options else 1, 2 * call.args[1].numel()
    H = torch.cat([part.reshape(size, -1, n) for part in parts], 1)
    sparse = jacengine.hessian(call.fn, *call.args, layout="coo", **options)
    torch.testing.assert_close(dense_of(sparse, "coo", Pattern((1, 1), [], [])), H)
    plan = jacengine.plan(
        call.fn, *call.args, quantity="hessian", layout="coo", **options
    )
    assert plan.problem.pattern is not None
    assert "all points" in plan.problem.pattern.origin


def test_functions_with_aux() -> None:
    def fn(x: Tensor) -> tuple[Tensor, dict[str, Any]]:
        return x * x.roll(1), {"sum": x.sum(), "n": 3}

    x = randn(6)
    pattern = jacengine.sparsity(fn, x, has_aux=True)
    assert pattern == jacengine.sparsity(lambda x: fn(x)[0], x)
    assert "all points" in pattern.origin
    J, aux = jacengine.auto(fn, x, has_aux=True, layout="coo")
    wanted, _ = jacengine.auto(fn, x, has_aux=True, sparsity=None)
    torch.testing.assert_close(J.to_dense(), wanted)
    assert aux == {"sum": x.sum(), "n": 3}


@pytest.mark.parametrize("name", HESSIANS)
@pytest.mark.parametrize("method", jacengine.list_strategies("hessian"))
def test_every_second_order_method(name: str, method: str) -> None:
    fn, x = HESSIANS[name], randn(9)
    wanted = jacengine.hessian(fn, x, sparsity=None)
    try:
        jacengine.hessian(fn, x, strategies=[method], sparsity=None)
    except jacengine.NoStrategyError:
        return
    options: dict[str, Any] = {"strategies": [method], "quantity": "hessian"}
    for chunk in (None, 2):
        plan = jacengine.plan(fn, x, sparsity="detect", effort="none", **options)
        assert isinstance(plan.chosen.method, Method)
        assert plan.chosen.method.seeding == COLORS
        sweep = Sweep(plan.problem, replace(plan.chosen.method, chunk_size=chunk))
        result = sweep.run(plan.problem.bind(plan.callee, [x]))
        torch.testing.assert_close(result.nested(), wanted)


# --- patterns that are wrong, or become wrong


def test_a_pattern_that_is_too_small_is_found_out() -> None:
    x = randn(6)
    small = as_pattern(torch.eye(6, dtype=torch.bool))

    def fn(x: Tensor) -> Tensor:
        return x * x.roll(1)

    for layout in LAYOUTS:
        with pytest.raises(jacengine.PatternError, match="given by the user"):
            jacengine.auto(fn, x, sparsity=small, layout=layout)
        with pytest.raises(jacengine.PatternError, match="sparsity='detect'"):
            jacengine.jacobian(
                fn, x, sparsity=small, layout=layout, strategy="vmap_vjp"
            )


def test_a_pattern_that_is_too_large_is_right() -> None:
    x = randn(6)
    J = jacengine.auto(torch.sin, x, sparsity=torch.ones(6, 6, dtype=torch.bool))
    torch.testing.assert_close(J, x.cos().diag())


def _branching(x: Tensor) -> Tensor:
    """Couple neighbours where the sum is positive; no program can tell."""
    if float(x.detach().sum()) > 0:
        return x * x.roll(1)
    return x.sin()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_local_pattern_is_found_anew(layout: Any) -> None:
    x = -randn(80).abs()
    first = jacengine.auto(_branching, x, layout=layout, sparsity="detect")
    assert first is not None
    with pytest.warns(UserWarning, match="found anew"):
        found = jacengine.auto(_branching, -x, layout=layout, sparsity="detect")
    wanted = jacengine.auto(_branching, -x, sparsity=None)
    if layout == "values":
        assert found.numel() == 2 * 80
    else:
        dense = found if layout in {"dict", "flat"} else found.to_dense()
        torch.testing.assert_close(dense, wanted)
    jacengine.auto(_branching, -x, layout=layout, sparsity="detect")  # without warning


def test_auto_goes_on_without_a_pattern_that_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planning, "LOOKING_S", 1e-9)  # the first call looks for it
    x = -randn(500).abs()
    jacengine.auto(_branching, x)
    with pytest.warns(UserWarning, match="not used for this function any more"):
        found = jacengine.auto(_branching, -x)
    torch.testing.assert_close(found, jacengine.auto(_branching, -x, sparsity=None))
    for there in (x, -x, 2 * x):
        found = jacengine.auto(_branching, there)  # without a warning
        wanted = jacengine.auto(_branching, there, sparsity=None)
        torch.testing.assert_close(found, wanted)


def test_indices_that_change_are_noticed() -> None:
    def gathered(x: Tensor, index: Tensor) -> Tensor:
        return x[index] * x

    x, index = randn(500), torch.arange(500)
    plan = jacengine.plan(gathered, x, index)
    assert plan.problem.pattern is not None
    with pytest.raises(jacengine.PatternError):
        plan(x, index.roll(1))
    compiled = jacengine.plan(gathered, x, index, compiled=True, layout="values")
    with pytest.raises(jacengine.PatternError):
        compiled(x, index.roll(1))
    jacengine.auto(gathered, x, index, layout="coo")
    with pytest.warns(UserWarning, match="found anew"):
        found = jacengine.auto(gathered, x, index.roll(1), layout="coo")
    wanted = jacengine.auto(gathered, x, index.roll(1), sparsity=None)
    torch.testing.assert_close(found.to_dense(), wanted)


def test_a_plan_refuses_a_point_with_other_nonzeros() -> None:
    x = -randn(80).abs()
    plan = jacengine.plan(_branching, x, sparsity="detect")
    with pytest.raises(jacengine.PatternError, match="near the arguments"):
        plan(-x)


def test_exceptional_zeros_of_a_program_are_in_its_pattern() -> None:
    x = torch.zeros(70, dtype=torch.float64)

    def fn(x: Tensor) -> Tensor:
        return x * x.roll(1)

    assert not bool(jacengine.auto(fn, x).any())
    there = randn(70)
    J = jacengine.auto(fn, there)
    torch.testing.assert_close(J, jacengine.auto(fn, there, sparsity=None))


@pytest.mark.parametrize(
    "wrap", [spoiling(lambda t: 1.01 * t), scaling_where(0, 1.01)], ids=["all", "one"]
)
def test_a_faulty_strategy_is_not_taken_for_a_faulty_pattern(wrap: Any) -> None:
    x = randn(80)
    both = [Forward(wrap), VmapVjp()]
    plan = plan_among(both, heat, x, sparsity="detect", effort="quick")
    outcomes = {r.strategy: r.outcome for r in plan.selection.candidates}
    assert outcomes == {"faulty": "wrong", "vmap_vjp": "ok"}
    torch.testing.assert_close(plan(x), jacengine.auto(heat, x, sparsity=None))


# --- the choice of auto


def test_auto_uses_sparsity_where_it_pays() -> None:
    plan = jacengine.plan(heat, randn(300))
    method = plan.chosen.method
    assert isinstance(method, Method)
    assert method.seeding == COLORS
    assert method.directions(plan.problem) == 4
    assert "3 colours, read from the program" in plan.explain()


@pytest.mark.parametrize(
    ("fn", "x"),
    [(nn.Linear(80, 80).double(), randn(80)), (heat, randn(20))],
    ids=["dense", "small"],
)
def test_auto_leaves_sparsity_where_it_does_not_pay(fn: Any, x: Tensor) -> None:
    assert jacengine.plan(fn, x).problem.pattern is None


def test_saved_plans_use_colours_again(tmp_path: Any) -> None:
    x = randn(300)
    plan = jacengine.plan(heat, x, sparsity="detect")
    plan.save(tmp_path / "plan.json")
    loaded = jacengine.load_plan(tmp_path / "plan.json", heat, x)
    assert loaded.chosen.method is not None
    assert loaded.chosen.method.seeding == COLORS
    torch.testing.assert_close(loaded(x), plan(x))


def test_plans_of_other_numbers_of_samples() -> None:
    plan = jacengine.plan(chain, randn(4, 9), batch_dim=0, layout="values")
    x = randn(11, 9, seed=4)
    torch.testing.assert_close(
        plan(x), jacengine.auto(chain, x, batch_dim=0, layout="values")
    )


@pytest.mark.parametrize("layout", ["dict", "values"])
def test_out(layout: Any) -> None:
    x = randn(12)
    plan = jacengine.plan(heat, x, sparsity="detect", layout=layout)
    wanted = plan(x)
    out = torch.full_like(wanted, torch.nan)
    assert plan(x, out=out) is out
    torch.testing.assert_close(out, wanted)
    there = randn(12, seed=3)
    plan(there, out=out)
    torch.testing.assert_close(out, plan(there))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "csr", "rows": slice(2)}, "leave rows= and columns= out"),
        ({"layout": "coo", "sparsity": None}, "needs a sparsity pattern"),
        ({"layout": "csr", "out": torch.zeros(3)}, "layout='values'"),
        ({"layout": "values", "out": torch.zeros(3)}, r"expected a tensor of shape \("),
        ({"layout": "bsr"}, "expected one of"),
        ({"sparsity": "yes"}, "sparsity='yes'"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(jacengine.ArgumentError, match=message):
        jacengine.auto(heat, randn(12), **options)


def test_random_functions_have_no_pattern() -> None:
    with pytest.raises(jacengine.UnsupportedError, match="random numbers"):
        jacengine.auto(nn.Dropout(0.5), randn(4), randomness="same", layout="coo")


# --- random sparse functions


@st.composite
def sparse_functions(draw: st.DrawFn) -> tuple[Callable[[Tensor], Tensor], Tensor, Any]:
    """Draw a function whose Jacobian has exactly a random pattern, and the pattern."""
    m, n = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    seed, share = draw(st.integers(0, 999)), draw(st.floats(0, 0.7))
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(m, n, generator=generator) < share
    rows, columns = mask.nonzero(as_tuple=True)
    weights = 0.5 + torch.rand(rows.numel(), generator=generator, dtype=torch.float64)

    def fn(x: Tensor) -> Tensor:
        zeros = torch.zeros(m, dtype=torch.float64)
        return zeros.index_add(0, rows, weights * x[columns].sin())

    return fn, randn(n, seed=seed), mask


@given(sparse_functions(), st.sampled_from(LAYOUTS))
@settings(max_examples=25, deadline=None)
def test_random_sparse_functions(call: Any, layout: Any) -> None:
    fn, x, mask = call
    pattern = jacengine.sparsity(fn, x)
    assert pattern == as_pattern(mask)
    wanted = jacengine.jacobian(fn, x, strategy="reverse_loop")
    for strategy in ("vmap_jvp", "vmap_vjp"):
        found = jacengine.jacobian(
            fn, x, strategy=strategy, sparsity="detect", layout=layout
        )
        if layout not in {"dict", "flat"}:
            (found,) = dense_of(found, layout, pattern)
        torch.testing.assert_close(found, wanted)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own
def test_plans_can_be_pickled() -> None:
    x = randn(300)
    plan = jacengine.plan(_fn_to_pickle, x, layout="values")
    again = pickle.loads(pickle.dumps(plan))
    torch.testing.assert_close(again(x), plan(x))


def _fn_to_pickle(u: Tensor) -> Tensor:
    return heat(u)


def test_threads_share_a_plan() -> None:
    plan = jacengine.plan(heat, randn(300), layout="values")
    points = [randn(300, seed=seed) for seed in range(8)]
    wanted = [plan(x) for x in points]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for found, right in zip(pool.map(plan, points), wanted, strict=True):
                torch.testing.assert_close(found, right)


def test_indices_of_each_sample() -> None:
    def gathered(x: Tensor, index: Tensor) -> Tensor:
        return x.gather(1, index) * x

    x, index = randn(3, 80), torch.stack([torch.arange(80).roll(k) for k in range(3)])
    options: dict[str, Any] = {"batch_dim": (0, 0)}
    pattern = jacengine.sparsity(gathered, x, index, **options)
    assert pattern.nnz == 3 * 80
    found = jacengine.auto(gathered, x, index, layout="coo", **options)
    wanted = jacengine.auto(gathered, x, index, sparsity=None, **options)
    torch.testing.assert_close(found.to_dense(), wanted)


def test_zeros_of_an_argument_are_no_zeros_of_the_pattern() -> None:
    def mixed(x: Tensor, w: Tensor) -> Tensor:
        return x * x + w @ x

    x, w = randn(6), randn(6, 6)
    assert jacengine.sparsity(mixed, x, 0 * w).nnz == 36
    plan = jacengine.plan(mixed, x, 0 * w, sparsity="detect")
    torch.testing.assert_close(plan(x, w), (2 * x).diag() + w)


@pytest.mark.parametrize("fn", [heat, _branching], ids=["program", "probing"])
def test_a_default_device_that_is_another(fn: Any) -> None:
    x = -randn(80).abs()
    wanted = jacengine.auto(fn, x, sparsity=None)
    with torch.device("meta"):
        pattern = jacengine.sparsity(fn, x)
        found = jacengine.auto(fn, x, sparsity=pattern, layout="coo")
        product = jacengine.operator(fn, x, timed=False) @ x
        assert str(pattern)
    assert found.device == x.device
    torch.testing.assert_close(found.to_dense(), wanted)
    torch.testing.assert_close(product, wanted @ x)


def test_the_colours_of_a_hessian_are_told() -> None:
    plan = jacengine.plan(
        HESSIANS["arrowhead"], randn(9), quantity="hessian", sparsity="detect"
    )
    assert "25 nonzeros, 2 colours" in plan.explain()
