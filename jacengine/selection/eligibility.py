"""Which methods run at all, how much memory they take, and about how long.

Each method is tried on the Jacobian's first few rows or columns at the real sizes. What
it raises is the reason why it is out, unless a kernel fallback or another sample policy
is the remedy. What it allocates on two and on four directions gives its peak as an
affine function of the chunk, from which the largest chunk within the budget follows;
how long those take forecasts the whole.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

from jacengine.execution.method import Method
from jacengine.execution.sweep import compute
from jacengine.interface import Composition
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.seeding.samples import sliceable
from jacengine.selection.budget import format_bytes
from jacengine.selection.candidate_result import CandidateResult, classify_error
from jacengine.selection.memory_bound import negligible_memory
from jacengine.selection.memory_model import (
    MemoryModel,
    first_directions,
    first_slices,
    fit_affine,
    fit_chunked,
    fit_memory_model,
    measured_peak,
    peak_on_fake_tensors,
)
from jacengine.selection.reference import Reference
from jacengine.selection.runnable import first_runnable
from jacengine.timing import seconds

COMFORTABLE = 2**28
"""Bytes that a pass may take at first, beside twice the result; more is seldom faster,
and the race tries larger chunks of the leader."""
TIGHT = 8
"""A budget below this many times what a plain forward pass takes is tight: what a
candidate needs is then predicted on fake tensors before it runs at all."""


def check_eligibility(
    problem: Problem,
    bound: BoundFunction,
    methods: Sequence[Method],
    reference: Reference,
    budget: int,
    *,
    timed: bool,
) -> CandidateResult:
    """Try a candidate and choose its largest comfortable chunk within the budget.

    `methods` are the candidate with each sample policy, the best first. If `timed`, its
    time is forecast.

    Returns:
        A result that is `ok` so far, with method and predicted peak; or why not.
    """
    name = methods[0].name
    refusal = methods[0].strategy.check(problem)
    if refusal is not None:
        return CandidateResult(name, "unsupported", refusal.reason)
    tight = budget < problem.result_bytes + TIGHT * problem.forward_bytes
    attempt = functools.partial(
        _attempt,
        problem,
        bound,
        methods,
        reference,
        budget,
        timed=timed,
        limit=budget if tight else math.inf,
    )
    in_slices = functools.partial(
        _in_slices, problem, bound, methods, attempt, budget=budget
    )
    if tight:
        least = _least_peak(problem, bound, methods)
        if least is None:
            least = _scaled_from_one_sample(problem, bound, methods, reference)
        if least > budget:
            return in_slices(_over_budget(name, least, budget))
    result = attempt()
    method = result.method
    if result.outcome != "over_budget" or method is None:
        return result
    if not sliceable(problem, method.sample_policy):
        return result
    return in_slices(result)


def _attempt(
    problem: Problem,
    bound: BoundFunction,
    methods: Sequence[Method],
    reference: Reference,
    budget: int,
    *,
    timed: bool,
    limit: float,
    slice_size: int | None = None,
) -> CandidateResult:
    """Find how a candidate runs and its largest comfortable chunk within the budget."""
    name = methods[0].name
    found = first_runnable(
        problem, bound, methods, reference, timed=timed, slice_size=slice_size
    )
    if isinstance(found, Exception):
        return CandidateResult(name, *classify_error(found))
    try:
        model = negligible_memory(problem, found, budget)
        if model is None:
            model = fit_memory_model(problem, bound, found, limit)
        comfortable = min(budget, max(COMFORTABLE, 2 * problem.result_bytes))
        directions = found.directions(problem)
        if model.chunked is None and model.whole.at(directions) > comfortable:
            model = fit_chunked(problem, bound, found, model, limit)
        largest = model.largest_chunk(problem, found, budget)
        if largest is None:
            least = model.peak(problem, found, 1)
            return replace(_over_budget(name, least, budget), method=found)
        chunk = model.largest_chunk(problem, found, comfortable) or 1
        result = in_chunks(problem, found, model, min(chunk, largest), largest)
        if not timed or result.method is None:
            return result
        return replace(result, forecast_s=_forecast(problem, bound, result.method))
    except Exception as error:
        return CandidateResult(name, *classify_error(error))


def in_chunks(
    problem: Problem, method: Method, model: MemoryModel, chunk: int, largest: int
) -> CandidateResult:
    """Describe a method that runs, with so many directions a pass."""
    chosen = replace(method, chunk_size=chunk)
    return CandidateResult(
        chosen.name,
        "ok",
        method=chosen,
        largest_chunk=largest,
        passes=chosen.passes(problem),
        predicted_bytes=model.peak(problem, chosen, chunk),
        memory_model=model,
    )


def without_methods(
    problem: Problem, compositions: Sequence[Composition], met: Collection[str]
) -> Iterator[CandidateResult]:
    """Say of compositions that are not among the candidates why they are not."""
    for composition in compositions:
        if composition.name not in met:
            refusal = composition.strategy.check(problem)
            reason = "no sample policy of this strategy is right here"
            reason = reason if refusal is None else refusal.reason
            yield CandidateResult(composition.name, "unsupported", reason)


def _in_slices(
    problem: Problem,
    bound: BoundFunction,
    methods: Sequence[Method],
    attempt: Callable[..., CandidateResult],
    whole: CandidateResult,
    *,
    budget: int,
) -> CandidateResult:
    """Try slices of samples, where not even one direction of all samples fits."""
    room = budget - problem.result_bytes
    beside = (whole.predicted_bytes or 0) - problem.result_bytes
    size = int(problem.sample_count * room / max(1, beside))
    size = max(0, min(size, problem.sample_count - 1))
    result = whole
    while size > 0 and result.outcome == "over_budget":
        if (_least_peak(problem, bound, methods, size) or 0) <= budget:
            result = attempt(slice_size=size)
        size //= 2  # not all of a peak shrinks with the number of samples
    return result if result.outcome == "ok" else whole


def _least_peak(
    problem: Problem,
    bound: BoundFunction,
    methods: Sequence[Method],
    slice_size: int | None = None,
) -> int | None:
    """Predict what the sample policy that takes least takes; `None` if unpredictable.

    With one direction a pass, of all samples or of those of a slice.
    """
    peaks = [
        peak_on_fake_tensors(problem, bound, replace(method, slice_size=slice_size))
        for method in methods
        if slice_size is None or sliceable(problem, method.sample_policy)
    ]
    return min((peak for peak in peaks if peak is not None), default=None)


def _scaled_from_one_sample(
    problem: Problem,
    bound: BoundFunction,
    methods: Sequence[Method],
    reference: Reference,
) -> int:
    """Measure one direction of one sample; return what all samples take at most.

    Zero if nothing can be measured: what a candidate raises is found out where it runs.
    """
    method = first_runnable(problem, bound, methods, reference, slice_size=1)
    if isinstance(method, Exception):
        return 0
    part = first_directions(problem, method, 1)
    beside = measured_peak(part, bound, method) - part.result_bytes
    return problem.result_bytes + problem.sample_count * beside


def _over_budget(name: str, needed: int, budget: int) -> CandidateResult:
    reason = (
        f"needs {format_bytes(needed)} with one direction at a time, of "
        f"{format_bytes(budget)}"
    )
    return CandidateResult(name, "over_budget", reason, predicted_bytes=needed)


def _forecast(problem: Problem, bound: BoundFunction, method: Method) -> float:
    """Extrapolate the time of a whole Jacobian from a few directions and samples.

    An underestimate: a pass on few directions costs more a direction than one on many.
    """
    few, some = first_slices(problem, bound, method)

    def measure(part: Problem, _: int) -> float:
        run = functools.partial(compute, part, some, method)
        return seconds(run, problem.outputs[0].device) / max(1, few.sample_count)

    fitted = fit_affine(few, method, (1, 4), measure)
    return fitted.at(method.directions(problem)) * problem.sample_count
