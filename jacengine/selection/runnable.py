"""Under which sample policy and kernel fallbacks a candidate runs at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from jacengine._locks import TORCH_GLOBAL_LOCK
from jacengine.execution.kernel_fallbacks import fallback_for
from jacengine.execution.matvec import matvec
from jacengine.execution.method import Method
from jacengine.execution.sweep import compute, prepare
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.seeding.samples import SamplePolicy, sliceable
from jacengine.selection.memory_model import first_directions, first_slices
from jacengine.selection.reference import Reference

T = TypeVar("T")


def first_that_runs(
    problem: Problem,
    methods: Sequence[Method],
    run: Callable[[Method], T],
    *,
    slice_size: int | None = None,
) -> T | Exception:
    """Run a candidate with each sample policy and with what kernel fallbacks it needs.

    Args:
        problem: What is computed.
        methods: The candidate with each sample policy, the best first.
        run: Runs a method; what it raises is the reason for a fallback, or for the next
            sample policy.
        slice_size: Samples that go through the function at once.

    Returns:
        What the first one returns, or what the last one raised.
    """
    raised: Exception = RuntimeError("no sample policy of this strategy is right here")
    for candidate in methods:
        if slice_size is not None and not sliceable(problem, candidate.sample_policy):
            continue
        method = replace(candidate, slice_size=slice_size)
        while True:
            try:
                # Alone: it may run only while another thread's kernel fallback holds.
                with TORCH_GLOBAL_LOCK:
                    return run(method)
            except Exception as error:
                raised = error
                fallback = fallback_for(error)
                if fallback is None or fallback in method.fallbacks:
                    break
                method = replace(method, fallbacks=(*method.fallbacks, fallback))
    return raised


def first_runnable(
    problem: Problem,
    bound: BoundFunction,
    methods: Sequence[Method],
    reference: Reference,
    *,
    timed: bool = False,
    slice_size: int | None = None,
) -> Method | Exception:
    """Find a sample policy and fallbacks under which a candidate runs one direction.

    Shared inputs are expanded over samples by vmap, whose rules differ from the plain
    operator's now and then (`Embedding` forgets its padding), so that sample policy
    must reproduce the reference, or the next one is taken. If `timed`, the strategy may
    make choices by measurement.

    Returns:
        The method that runs, or what the last one raised.
    """

    def run(method: Method) -> Method:
        method = prepare(problem, bound, method, timed=timed)
        part = first_directions(problem, method, 1)
        part, some = first_slices(part, bound, method)
        compute(part, some, method, checked=True)
        if method.sample_policy in {
            SamplePolicy.VMAP_SAMPLES,
            SamplePolicy.EXPAND_SHARED,
        }:
            _require_right(problem, bound, method, reference)
        return method

    return first_that_runs(problem, methods, run, slice_size=slice_size)


def _require_right(
    problem: Problem, bound: BoundFunction, method: Method, reference: Reference
) -> None:
    seeds = tuple(seed.unsqueeze(0) for seed in reference.seeds)
    products = [p.squeeze(0) for p in matvec(problem, bound, method, seeds)]
    verification = reference.judge_products(problem, tuple(products))
    if not verification.right:
        complaint = verification.complaint
        raise RuntimeError(f"wrong under vmap over samples: {complaint}")
