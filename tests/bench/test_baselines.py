import functools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from jacengine.bench import peers
from jacengine.bench.baselines import BASELINES, Baseline
from jacengine.bench.reference import reference
from jacengine.bench.workload import Question, Workload
from jacengine.bench.workloads import WORKLOADS
from tests.bench.agree import agree

# What its users see of it is not ours to mend.
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
"""What a library cannot do, beside what it does not claim to do."""

BY_PARAMETERS = (
    "backpack.BatchGrad",
    "backpack.SqrtGGNExact",
    "opacus.GradSampleModule",
    "ExpandedWeights",
)


@functools.cache
def truth(name: str) -> Any:
    workload = BY_NAME[name]
    return reference(workload.build(workload.tiny).to(dtype=torch.float64))


def expected_refusal(baseline: Baseline, workload: Workload) -> str | None:
    question = workload.build(workload.tiny)
    if baseline.name in BY_PARAMETERS:
        if question.wrt != "params":
            return "derivatives by inputs"
    elif baseline.name.startswith("vmap") and question.batch_dim is None:
        return "one point"
    elif baseline.name.startswith("jax") and workload.twin is None:
        return "not written in JAX"
    return DECLINED.get((baseline.name, workload.name))


def skip_if_missing(baseline: Baseline) -> None:
    reason = baseline.missing()
    if reason is not None:
        pytest.skip(reason)


@pytest.mark.parametrize("workload", list(BY_NAME))
@pytest.mark.parametrize("baseline", list(BASELINE_BY_NAME))
def test_a_baseline_agrees_or_says_why_not(baseline: str, workload: str) -> None:
    library, asked = BASELINE_BY_NAME[baseline], BY_NAME[workload]
    skip_if_missing(library)
    question = asked.build(asked.tiny).to(dtype=torch.float64)
    refusal = library.check(asked, asked.tiny, question)
    expected = expected_refusal(library, asked)
    if expected is not None:
        assert refusal is not None
        assert expected in refusal.reason
        return
    assert refusal is None, refusal
    agree(library.prepare(asked, asked.tiny, question)(), truth(workload))


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda b: b.name)
def test_a_baseline_computes_again(baseline: Baseline) -> None:
    skip_if_missing(baseline)
    workload = BY_NAME["backpack_example"]
    question = workload.build(1).to(dtype=torch.float64)
    prepared = baseline.prepare(workload, 1, question)
    first = prepared.run()
    agree(prepared(), truth(workload.name))
    agree(prepared.convert(first), truth(workload.name))


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda b: b.name)
def test_a_baseline_leaves_the_question_alone(baseline: Baseline) -> None:
    skip_if_missing(baseline)
    workload = BY_NAME["backpack_example"]
    question = workload.build(1)
    assert isinstance(question.fn, nn.Module)
    before = {n: p.detach().clone() for n, p in question.fn.named_parameters()}
    attributes = set(vars(question.fn))
    baseline.prepare(workload, 1, question)()
    for name, parameter in question.fn.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.requires_grad
        assert parameter.grad is None
        assert not hasattr(parameter, "grad_batch")
        assert getattr(parameter, "grad_sample", None) is None
    assert set(vars(question.fn)) == attributes


def test_jax_computes_in_the_precision_of_the_question() -> None:
    baseline = BASELINE_BY_NAME["jax.jit(jacfwd)"]
    skip_if_missing(baseline)
    for name in ("neural_ode", "robertson"):
        for dtype in (torch.float32, torch.float64):
            question = BY_NAME[name].build(2).to(dtype=dtype)
            J = baseline.prepare(BY_NAME[name], 2, question)()
            assert J.dtype == dtype


def test_an_absent_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "installed", lambda library: not library)
    for name in ("backpack.BatchGrad", "opacus.GradSampleModule", "jax.jit(jacrev)"):
        reason = BASELINE_BY_NAME[name].missing()
        assert reason is not None
        assert "make peers" in reason


def test_names_are_unique() -> None:
    assert len(BASELINE_BY_NAME) == len(BASELINES)


def test_what_cannot_fit_is_not_started() -> None:
    question = Question(torch.sin, (torch.zeros(1_000_000),), batch_dim=None)
    workload = replace(BY_NAME["reaction_diffusion"], tiny=2)
    for name in ("torch.func.jacrev", "torch.func.jacfwd"):
        refusal = BASELINE_BY_NAME[name].check(workload, 1, question)
        assert refusal is not None
        assert refusal.reason.startswith("all 1000000 directions at once need at least")
    assert BASELINE_BY_NAME["double loop"].check(workload, 1, question) is None
