import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from jacengine.bench import optional_libraries
from jacengine.bench.baselines import BASELINES, Baseline
from jacengine.bench.reference import reference
from jacengine.bench.workload import DerivativeSpec, Workload
from jacengine.bench.workloads import WORKLOADS
from jacengine.problem.quantity import SECOND_ORDER, Quantity
from tests.bench.assert_close import assert_close
from tests.bench.specs import exact

# Warnings of other libraries.
pytestmark = pytest.mark.filterwarnings("ignore")

BY_NAME = {workload.name: workload for workload in WORKLOADS}
BASELINE_BY_NAME = {baseline.name: baseline for baseline in BASELINES}

DECLINED = {
    ("functional.jacobian(forward-mode)", "transformer_layer"): "flash_attention",
    ("torch.func.jacfwd", "transformer_layer"): "flash_attention",
    ("vmap(jacfwd)", "transformer_layer"): "flash_attention",
    ("functional.jacobian(forward-mode)", "lstm_memory"): "unsafe_split",
    ("vmap(jacrev)", "lstm_memory"): "broadcast shape",
    ("vmap(jacfwd)", "lstm_memory"): "broadcast shape",
    ("functional.jacobian(forward-mode)", "pinn"): "Nested forward mode",
    ("backpack.BatchGrad", "pinn"): "without per-sample gradients",
    ("backpack.BatchGrad", "gaussian_mixture"): "without per-sample gradients",
    ("backpack.SqrtGGNExact", "monte_carlo"): "Only 2D inputs",
    ("backpack.SqrtGGNExact", "gaussian_mixture"): "Only 2D inputs",
    # In float32 it can: its pooling makes float32 whatever it is given.
    ("backpack.SqrtGGNExact", "quasi_linear_conv3d"): "expected scalar type",
    ("backpack.SqrtGGNExact", "pinn"): "does not have an extension",
    ("opacus.GradSampleModule", "pinn"): "without per-sample gradients",
    ("ExpandedWeights", "pinn"): "setup_context",
    ("ExpandedWeights", "gaussian_mixture"): "cannot handle function",
}
"""What a library cannot do, beside the quantities that it does not compute."""

WRONG = {
    ("vmap(hessian)", "quantum_net"),
    ("vmap(jacfwd(jacfwd))", "quantum_net"),
    ("vmap(hvp)", "quantum_net"),
}
"""Where a library is wrong: torch's forward mode of `slogdet`, mapped over samples."""

BY_PARAMETERS = (
    "backpack.BatchGrad",
    "backpack.SqrtGGNExact",
    "opacus.GradSampleModule",
    "ExpandedWeights",
)

MAPPED = (
    "vmap(jacrev)",
    "vmap(jacfwd)",
    "vmap(hessian)",
    "vmap(jacrev(jacrev))",
    "vmap(jacfwd(jacfwd))",
)


@functools.cache
def exact_result(name: str) -> Any:
    return reference(exact(BY_NAME[name]))


def expected_refusal(baseline: Baseline, workload: Workload) -> str | None:
    spec = workload.build(workload.tiny)
    if spec.quantity not in baseline.quantities:
        return f"no {spec.quantity}: it computes"
    if baseline.name in BY_PARAMETERS:
        if spec.wrt != "params":
            return "derivatives by inputs"
    elif baseline.name == "grad(grad.sum())":
        if spec.wrt == "params" or spec.batch_dim is None:
            return "no inputs of samples"
    elif baseline.name in MAPPED and spec.batch_dim is None:
        return "one point"
    elif baseline.name.startswith(("jax", "folx")) and workload.jax_function is None:
        return "not written in JAX"
    return DECLINED.get((baseline.name, workload.name))


def workload_of(baseline: Baseline) -> Workload:
    """Return a small workload that a baseline applies to."""
    first = "jacobian" in baseline.quantities
    return BY_NAME["backpack_example" if first else "mlp_laplacian"]


def skip_if_missing(baseline: Baseline) -> None:
    reason = baseline.missing()
    if reason is not None:
        pytest.skip(reason)


@pytest.mark.slow
@pytest.mark.parametrize("workload", list(BY_NAME))
@pytest.mark.parametrize("baseline", list(BASELINE_BY_NAME))
def test_a_baseline_equals_the_reference_or_declines(
    baseline: str, workload: str
) -> None:
    library, chosen = BASELINE_BY_NAME[baseline], BY_NAME[workload]
    skip_if_missing(library)
    spec = exact(chosen)
    refusal = library.check(chosen, spec)
    expected = expected_refusal(library, chosen)
    if expected is not None:
        assert refusal is not None
        assert expected in refusal.reason
        return
    assert refusal is None, refusal
    computed = library.prepare(chosen, spec)()
    if (baseline, workload) in WRONG:
        with pytest.raises(AssertionError, match="not close"):
            assert_close(computed, exact_result(workload))
        return
    assert_close(computed, exact_result(workload))


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda b: b.name)
def test_a_baseline_computes_again(baseline: Baseline) -> None:
    skip_if_missing(baseline)
    workload = workload_of(baseline)
    spec = exact(workload)
    prepared = baseline.prepare(workload, spec)
    first = prepared.run()
    assert_close(prepared(), exact_result(workload.name))
    assert_close(prepared.convert(first), exact_result(workload.name))


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda b: b.name)
def test_a_baseline_leaves_the_spec_unchanged(baseline: Baseline) -> None:
    skip_if_missing(baseline)
    workload = workload_of(baseline)
    spec = workload.build(workload.tiny)
    assert isinstance(spec.fn, nn.Module)
    before = {n: p.detach().clone() for n, p in spec.fn.named_parameters()}
    attributes = set(vars(spec.fn))
    baseline.prepare(workload, spec)()
    for name, parameter in spec.fn.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.requires_grad
        assert parameter.grad is None
        assert not hasattr(parameter, "grad_batch")
        assert getattr(parameter, "grad_sample", None) is None
    assert set(vars(spec.fn)) == attributes


def test_jax_computes_in_the_precision_of_the_spec() -> None:
    baseline = BASELINE_BY_NAME["jax.jit(jacfwd)"]
    skip_if_missing(baseline)
    for name in ("neural_ode", "robertson"):
        for dtype in (torch.float32, torch.float64):
            spec = BY_NAME[name].build(2).to(dtype=dtype)
            J = baseline.prepare(BY_NAME[name], spec)()
            assert J.dtype == dtype


def test_an_absent_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional_libraries, "installed", lambda library: not library)
    for name in (
        "backpack.BatchGrad",
        "opacus.GradSampleModule",
        "jax.jit(jacrev)",
        "folx.forward_laplacian",
    ):
        reason = BASELINE_BY_NAME[name].missing()
        assert reason is not None
        assert "make peers" in reason


def test_names_are_unique() -> None:
    assert len(BASELINE_BY_NAME) == len(BASELINES)


def test_a_jacobian_that_cannot_fit_is_not_started() -> None:
    spec = DerivativeSpec(torch.sin, (torch.zeros(1_000_000),), batch_dim=None)
    workload = replace(BY_NAME["reaction_diffusion"], tiny=2)
    for name in ("torch.func.jacrev", "torch.func.jacfwd"):
        refusal = BASELINE_BY_NAME[name].check(workload, spec)
        assert refusal is not None
        assert refusal.reason.startswith("all 1000000 directions at once need at least")
    assert BASELINE_BY_NAME["double loop"].check(workload, spec) is None


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("torch.func.hessian", 1_000_000),
        ("functional.hessian(vectorize)", 1_000_000),
        ("vmap(hvp)", 1_000_000),
    ],
)
def test_a_hessian_that_cannot_fit_is_not_started(name: str, count: int) -> None:
    def summed(x: torch.Tensor) -> torch.Tensor:
        return x.sin().sum()

    baseline = BASELINE_BY_NAME[name]
    x = torch.zeros(count)
    spec = DerivativeSpec(summed, (x,), batch_dim=None, quantity="hessian_diagonal")
    workload = replace(BY_NAME["normal_modes"], tiny=2)
    refusal = baseline.check(workload, spec)
    assert refusal is not None
    assert refusal.reason.startswith(f"all {count} directions at once need at least")


def test_pairs_of_directions_that_cannot_fit_are_not_started() -> None:
    baseline = BASELINE_BY_NAME["vmap(jacfwd(jacfwd))"]
    workload = BY_NAME["mlp_laplacian"]
    assert baseline.check(workload, workload.build(3)) is None
    refusal = baseline.check(workload, workload.build(20_000))
    assert refusal is not None
    assert refusal.reason.startswith("all 400000000 directions at once")


@pytest.mark.parametrize("quantity", sorted(SECOND_ORDER))
@pytest.mark.parametrize(
    "baseline",
    # Sparse, folx takes seconds to compile, and differs in a number only.
    [b for b in BASELINES if b.name != "folx.forward_laplacian(sparse)"],
    ids=lambda b: b.name,
)
def test_a_baseline_computes_its_quantities(
    baseline: Baseline, quantity: Quantity
) -> None:
    skip_if_missing(baseline)
    # By inputs with two axes of their own, and by parameters at one point.
    for name in ("hydrogen", "loss_diagonal"):
        tiny = BY_NAME[name].build(BY_NAME[name].tiny)
        if tiny.quantity == quantity:
            # Covered with all workloads above.
            continue
        workload = replace(BY_NAME[name], build=with_quantity(BY_NAME[name], quantity))
        spec = exact(workload)
        refusal = baseline.check(workload, spec)
        if quantity not in baseline.quantities:
            assert refusal is not None
        elif refusal is None:
            computed = baseline.prepare(workload, spec)()
            assert_close(computed, reference(spec))


def with_quantity(
    workload: Workload, quantity: Quantity
) -> Callable[[int], DerivativeSpec]:
    """Return the same builder with another quantity."""
    return lambda size: replace(workload.build(size), quantity=quantity)
