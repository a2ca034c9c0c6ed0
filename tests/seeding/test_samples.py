"""Samples that go through the function some at a time."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine.execution.method import Method
from jacengine.execution.sweep import Sweep, prepare
from jacengine.peak_memory import peak_memory
from jacengine.plans.serialization import from_json, to_json
from jacengine.seeding.samples import SamplePolicy, sliceable
from jacengine.selection.memory_model import fit_memory_model
from jacengine.selection.reference import Reference
from jacengine.strategies.vmap_vjp import VmapVjp
from tests.problems import OF_ONE_INPUT, OF_PARAMETERS, mlp, prepared, randn


@pytest.mark.parametrize("samples", [1, 2, 3, 7, 50])
@pytest.mark.parametrize(
    ("strategy", "wrt"),
    [*((name, "params") for name in OF_PARAMETERS), *((n, 0) for n in OF_ONE_INPUT)],
)
def test_slices_do_not_change_the_result(
    strategy: str, wrt: int | str, samples: int
) -> None:
    model, x = mlp(3, 4, 2), randn(7, 3)
    plan = jacengine.plan(
        model, x, wrt=wrt, batch_dim=0, strategies=[strategy], effort="none"
    )
    call, method = plan.problem.bind(plan.callee, [x]), plan.chosen.method
    assert method is not None
    sliced = replace(method, slice_size=samples)
    sliced = prepare(plan.problem, call, sliced, timed=False)
    result = Sweep(plan.problem, sliced).run(call, checked=True)
    assert Reference.of(plan.problem, call).judge(result).right


def test_what_draws_numbers_is_not_sliced() -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * torch.rand_like(x)

    options: dict[str, Any] = {"batch_dim": 0, "randomness": "same"}
    problem, _ = prepared(Noisy(), randn(4, 3), **options)
    assert not sliceable(problem, SamplePolicy.BATCHED)


def test_without_samples_nothing_is_sliced() -> None:
    problem, _ = prepared(mlp(3, 2), randn(3))
    assert not sliceable(problem, SamplePolicy.UNBATCHED)


def _peak(budget: int | None) -> tuple[int, jacengine.Plan]:
    """Return what a call takes beside the result, of a net with wide layers."""
    model, x = mlp(2, 2000, 1).float(), randn(500, 2).float()
    plan = jacengine.plan(
        model,
        x,
        batch_dim=0,
        strategies=["vmap_vjp"],
        memory_budget=budget,
    )
    assert plan(x).shape == (500, 1, 2)
    return plan.chosen.peak_bytes or 0, plan


def test_where_one_direction_is_too_much_samples_are_sliced() -> None:
    whole, plan = _peak(None)
    assert plan.chosen.method is not None
    tight, plan = _peak(whole // 4)
    assert plan.chosen.method is not None
    assert plan.chosen.method.slice_size is not None
    assert tight <= whole // 4
    assert "samples at a time" in plan.explain()


def test_slices_are_saved() -> None:
    whole, _ = _peak(None)
    _, plan = _peak(whole // 4)
    text = to_json(plan.selection, "key")
    loaded = from_json(text, plan.compositions).ranked[0].method
    assert loaded is not None
    assert plan.chosen.method is not None
    assert loaded.slice_size == plan.chosen.method.slice_size


def test_what_slices_take_is_measured_on_two_of_them() -> None:
    calls: dict[int, int] = {}
    for size in (8, 64):

        def counted(x: Tensor, size: int = size) -> Tensor:
            calls[size] = calls.get(size, 0) + 1
            return x.sin()

        problem, call = prepared(counted, randn(size, 3), batch_dim=0)
        method = Method(VmapVjp(), sample_policy=SamplePolicy.BATCHED, slice_size=2)
        calls[size] = 0
        needs = fit_memory_model(problem, call, method)
        foretold = needs.peak(problem, method, 3)
        with peak_memory(torch.device("cpu")) as peak:
            Sweep(problem, replace(method, chunk_size=3)).run(call)
        assert foretold == pytest.approx(peak.bytes, rel=0.1)
        calls[size] -= size // 2  # of the whole run
    assert calls[8] == calls[64]
