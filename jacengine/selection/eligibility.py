"""Which methods run at all, how much memory they take, and about how long.

Each strategy is tried on the Jacobian's first few rows or columns at the real sizes.
What it raises is its reason to be out, unless a scoped setting of torch or another
sample policy mends it. What it allocates on two and on four directions gives its peak
as an
affine function of the chunk, from which the largest chunk within the budget follows;
how long those take forecasts the whole.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

from jacengine.execution.kernel_fallbacks import fallback_for
from jacengine.execution.matvec import pull_all_samples
from jacengine.execution.method import Method
from jacengine.execution.sweep import accumulate, prepared
from jacengine.interface import Strategy
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.seeding import samples as sample_policies
from jacengine.seeding.samples import SamplePolicy
from jacengine.selection.budget import format_bytes
from jacengine.selection.candidate_result import CandidateResult
from jacengine.selection.memory_model import (
    fake_peak,
    first_slices,
    fit_memory_model,
    in_chunks,
    restrict,
)
from jacengine.selection.outcomes import classify_error
from jacengine.selection.reference import Reference
from jacengine.timing import seconds

COMFORT = 2**28
"""Bytes that a pass may take at first, beside twice the result; more is seldom faster,
and the race tries larger chunks of the leader."""
TIGHT = 8
"""A budget below this many times what a plain forward pass takes is tight: what a
candidate needs is then predicted on fake tensors before it runs at all."""


def check_eligibility(
    problem: Problem,
    bound: BoundFunction,
    strategy: Strategy,
    reference: Reference,
    budget: int,
    *,
    timed: bool,
) -> CandidateResult:
    """Try a strategy out and choose its largest comfortable chunk within the budget.

    Args:
        problem: What to compute.
        bound: The function at the arguments to try it on.
        strategy: The candidate.
        reference: What is right.
        budget: Bytes.
        timed: Whether to forecast its time.

    Returns:
        A record that is `ok` so far, with method and predicted peak; or why not.
    """
    refusal = strategy.check(problem)
    if refusal is not None:
        return CandidateResult(strategy.name, "unsupported", refusal.reason)
    attempt = functools.partial(
        _chunked, problem, bound, strategy, reference, budget, timed=timed
    )
    if budget < problem.result_bytes + TIGHT * problem.forward_bytes:
        least = _least(problem, bound, strategy)
        if least is not None and least > budget:
            too_much = _over_budget(strategy, least, budget)
            return _sliced(problem, attempt, too_much, budget)
    record = attempt()
    method = record.method
    if record.outcome != "over_budget" or method is None:
        return record
    if not sample_policies.sliceable(problem, method.sample_policy):
        return record
    return _sliced(problem, attempt, record, budget)


def _sliced(
    problem: Problem,
    attempt: Callable[..., CandidateResult],
    whole: CandidateResult,
    budget: int,
) -> CandidateResult:
    """Try some samples at a time, where not even one direction of all of them fits.

    Args:
        problem: What is computed.
        attempt: Qualifies the strategy on so many `samples`.
        whole: The record with all samples at once, and what that needs.
        budget: Bytes.
    """
    record = whole
    few = _samples_that_fit(problem, whole.predicted_bytes or 0, budget)
    while few > 0 and record.outcome == "over_budget":
        record = attempt(samples=few)
        few //= 2  # not all of a peak shrinks with the number of samples
    return record if record.outcome == "ok" else whole


def _chunked(
    problem: Problem,
    bound: BoundFunction,
    strategy: Strategy,
    reference: Reference,
    budget: int,
    *,
    timed: bool,
    samples: int | None = None,
) -> CandidateResult:
    """Find how a strategy runs and its largest comfortable chunk within the budget."""
    found = runnable(problem, bound, strategy, reference, timed=timed, samples=samples)
    if isinstance(found, Exception):
        return CandidateResult(strategy.name, *classify_error(found))
    try:
        needs = fit_memory_model(problem, bound, found)
        comfort = min(budget, max(COMFORT, 2 * problem.result_bytes))
        directions = found.directions(problem)
        if needs.chunked is None and needs.whole.at(directions) > comfort:
            needs = in_chunks(problem, bound, found, needs)
        fitted = needs.largest_chunk(problem, found, budget)
        if fitted is None:
            least = needs.peak(problem, found, 1)
            return replace(_over_budget(strategy, least, budget), method=found)
        chunk = needs.largest_chunk(problem, found, comfort) or 1
        chosen = replace(found, chunk_size=min(chunk, fitted))
        return CandidateResult(
            strategy.name,
            "ok",
            method=chosen,
            chunk_size=chosen.chunk_size,
            largest_chunk=fitted,
            passes=chosen.passes(problem),
            forecast_s=_forecast(problem, bound, chosen) if timed else None,
            predicted_bytes=needs.peak(problem, chosen, chosen.chunk_size or 1),
            fit_memory_model=needs,
        )
    except Exception as error:
        return CandidateResult(strategy.name, *classify_error(error))


def _samples_that_fit(problem: Problem, needed: int, budget: int) -> int:
    """Estimate how many samples at a time fit, beside the result.

    Args:
        problem: What is computed.
        needed: The peak with all samples at once, the result included.
        budget: What there is.

    Returns:
        A number of samples, smaller than all; 0 if not even one fits.
    """
    room, beside = budget - problem.result_bytes, needed - problem.result_bytes
    count = int(problem.sample_count * room / max(1, beside))
    return max(0, min(count, problem.sample_count - 1))


def runnable(
    problem: Problem,
    bound: BoundFunction,
    strategy: Strategy,
    reference: Reference,
    *,
    timed: bool = False,
    samples: int | None = None,
) -> Method | Exception:
    """Find a sample policy and scopes under which a strategy runs, on one direction.

    Shared inputs are expanded over samples by vmap, whose rules differ from the plain
    operator's now and then (`Embedding` forgets its padding), so that policy must
    reproduce the truth, or the next one is taken.

    Args:
        problem: What to compute.
        bound: The function at the arguments to try it on.
        strategy: What is to run.
        reference: What is right.
        timed: Whether the strategy may make choices by measurement.
        samples: Samples that go through the function at once, `None` for all.

    Returns:
        The method; or what the last attempt raised.
    """
    raised: Exception = RuntimeError("no sample policy of this strategy is right here")
    for kind in sample_policies.choices(problem, strategy):
        if samples is not None and not sample_policies.sliceable(problem, kind):
            continue
        method = Method(strategy, kind, samples=samples)
        while True:
            try:
                method = prepared(problem, bound, method, timed=timed)
                part, some = first_slices(restrict(problem, method, 1), bound, method)
                accumulate(part, some, method, checked=True)
                if kind in {SamplePolicy.VMAP_SAMPLES, SamplePolicy.EXPAND_SHARED}:
                    _require_truth(problem, bound, method, reference)
            except Exception as error:
                raised = error
                scope = fallback_for(error)
                if scope is None or scope in method.scopes:
                    break
                method = replace(method, scopes=(*method.scopes, scope))
            else:
                return method
    return raised


def _require_truth(
    problem: Problem, bound: BoundFunction, method: Method, reference: Reference
) -> None:
    products = pull_all_samples(problem, bound, method, reference.seeds)
    verdict = reference.judge_products(problem, products)
    if not verdict.right:
        raise RuntimeError(f"wrong under vmap over samples: {verdict.complaint}")


def _least(problem: Problem, bound: BoundFunction, strategy: Strategy) -> int | None:
    """Predict the least that a strategy takes, without running it; `None`: unknown."""
    peaks = [
        peak
        for kind in sample_policies.choices(problem, strategy)
        if (peak := fake_peak(problem, bound, Method(strategy, kind))) is not None
    ]
    return min(peaks, default=None)


def _over_budget(strategy: Strategy, needed: int, budget: int) -> CandidateResult:
    reason = (
        f"needs {format_bytes(needed)} with one direction at a time, of "
        f"{format_bytes(budget)}"
    )
    return CandidateResult(strategy.name, "over_budget", reason, predicted_bytes=needed)


def _forecast(problem: Problem, bound: BoundFunction, method: Method) -> float:
    """Extrapolate the time of a whole Jacobian from a few directions and samples.

    An underestimate: a pass on few directions is dearer a direction than one on many.
    """
    device = problem.outputs[0].device
    times: dict[int, float] = {}
    few, some = first_slices(problem, bound, method)
    for count in (1, 4):
        part = restrict(few, method, count)
        directions = method.directions(part)
        if directions not in times:
            run = functools.partial(accumulate, part, some, method)
            taken = seconds(run, device) / few.sample_count
            times[directions] = taken * problem.sample_count
    (first, low), (last, high) = min(times.items()), max(times.items())
    slope = max(0.0, (high - low) / (last - first)) if last > first else 0.0
    return low + max(0, method.directions(problem) - first) * slope
