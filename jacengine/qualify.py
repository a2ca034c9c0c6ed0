"""Which methods run at all, and how much memory they take.

Each strategy is tried on a few directions at the real sizes. What it raises is its reason
to be out, unless a scoped setting of torch or another batching mends it. What it
allocates on two and on four directions gives its peak as an affine function of the
chunk, from which the largest chunk within the budget follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from jacengine import batching
from jacengine.accumulate import pull_all_samples, try_out
from jacengine.batching import Batching
from jacengine.budget import format_bytes
from jacengine.call import Call
from jacengine.errors import StrategyError
from jacengine.interface import Contraction, Pushforward, Strategy
from jacengine.measure import peak_memory
from jacengine.method import Method
from jacengine.problem import Problem
from jacengine.record import Outcome, Record
from jacengine.scopes import mending
from jacengine.seeding import balanced
from jacengine.truth import Truth

PROBES = (2, 4)
"""Directions of the two probes that the memory model is fitted to."""


@dataclass(frozen=True)
class Appetite:
    """Peak memory as an affine function of the directions a pass.

    Attributes:
        fixed: Bytes that do not depend on the chunk.
        per_direction: Bytes for each direction of a pass.
        result: Bytes of the Jacobian.
    """

    fixed: float
    per_direction: float
    result: int

    def peak(self, chunk_size: int, *, adopted: bool) -> int:
        """Predict the peak; an adopted product is the result and counts once."""
        beside = 0 if adopted else self.result
        return round(self.fixed + chunk_size * self.per_direction + beside)


def qualify(
    problem: Problem, call: Call, strategy: Strategy, truth: Truth, budget: int
) -> Record:
    """Try a strategy out and choose its largest chunk within the budget.

    Returns:
        A record that is `ok` so far, with method and predicted peak; or why not.
    """
    refusal = strategy.check(problem)
    if refusal is not None:
        return Record(strategy.name, "unsupported", refusal.reason)
    found = runnable(problem, call, strategy, truth)
    if isinstance(found, Exception):
        return Record(strategy.name, *classify(found))
    try:
        appetite = _appetite(problem, call, found)
    except Exception as error:  # noqa: BLE001 - a strategy may raise anything
        return Record(strategy.name, *classify(error))
    return _fit(problem, found, appetite, budget)


def runnable(
    problem: Problem, call: Call, strategy: Strategy, truth: Truth
) -> Method | Exception:
    """Find a batching and scopes under which a strategy runs, on one direction.

    Shared inputs are expanded over samples by vmap, whose rules differ from the plain
    operator's now and then (`Embedding` forgets its padding), so that batching must
    reproduce the truth, or the next one is taken.

    Returns:
        The method; or what the last attempt raised.
    """
    raised: Exception = RuntimeError("no batching of this strategy is right here")
    for kind in batching.choices(problem, strategy):
        method = Method(strategy, kind)
        while True:
            try:
                try_out(problem, call, method, 1)
                if kind is Batching.EXPANDED:
                    _require_truth(problem, call, method, truth)
            except Exception as error:  # noqa: BLE001 - a strategy may raise anything
                raised = error
                scope = mending(error)
                if scope is None or scope in method.scopes:
                    break
                method = replace(method, scopes=(*method.scopes, scope))
            else:
                return method
    return raised


def _require_truth(
    problem: Problem, call: Call, method: Method, truth: Truth
) -> None:
    products = pull_all_samples(problem, call, method, truth.seeds)
    verdict = truth.judge_products(problem, products)
    if not verdict.right:
        raise RuntimeError(f"wrong under vmap over samples: {verdict.complaint}")


def classify(error: Exception) -> tuple[Outcome, str]:
    """Turn what a strategy raised into an outcome and a reason."""
    message = str(error).strip().splitlines()
    said = message[0] if message else ""
    operator = operator_in(str(error))
    reason = f"{type(error).__name__}: {said}"
    if operator and operator not in reason:
        reason = f"{operator}: {reason}"
    if out_of_memory(error):
        return "oom", reason
    if isinstance(error, NotImplementedError | RuntimeError) and not isinstance(
        error, StrategyError
    ):
        return "unsupported", reason
    return "error", reason


def out_of_memory(error: BaseException) -> bool:
    """Tell a refused allocation; on CPU torch raises a plain RuntimeError for it."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def operator_in(message: str) -> str | None:
    """Find the name of the operator that an error message of torch complains of."""
    for pattern in (
        r"aten::[A-Za-z_0-9.]+",
        r"derivative for '?([A-Za-z_0-9:.]+)'?",
        r"forward AD with ([A-Za-z_0-9:.]+)",
        r"([A-Za-z_0-9]+Backward\w*)",
    ):
        found = re.search(pattern, message)
        if found:
            return found[found.lastindex or 0]
    return None


def _appetite(problem: Problem, call: Call, method: Method) -> Appetite:
    """Measure what a method allocates on its first few directions."""
    device = problem.outputs[0].device
    peaks: list[tuple[int, int]] = []
    for count in _probe_sizes(problem, method):
        with peak_memory(device) as peak:
            try_out(problem, call, method, count)
        peaks.append((count, peak.bytes))
    return _fitted(problem, peaks)


def _probe_sizes(problem: Problem, method: Method) -> Iterator[int]:
    available = method.directions(problem)
    if method.strategy.single:
        yield 1
        return
    yield from sorted({min(size, available) for size in PROBES})


def _fitted(problem: Problem, peaks: list[tuple[int, int]]) -> Appetite:
    (first, low), (last, high) = peaks[0], peaks[-1]
    slope = max(0.0, (high - low) / (last - first)) if last > first else 0.0
    return Appetite(max(0.0, low - first * slope), slope, problem.result_bytes)


def _fit(
    problem: Problem, method: Method, appetite: Appetite, budget: int
) -> Record:
    """Choose the largest balanced chunk that is predicted to fit."""
    name = method.strategy.name
    available = max(1, method.directions(problem))
    chunk = 1 if method.strategy.single else available
    while chunk > 1 and appetite.peak(chunk, adopted=_adopts(problem, method, chunk)) > budget:
        room = budget - appetite.fixed - appetite.result
        fitting = int(room / appetite.per_direction) if appetite.per_direction else 1
        chunk = max(1, min(chunk - 1, fitting))
    blocks = list(balanced(available, chunk))
    chunk = max(block.stop - block.start for block in blocks)
    predicted = appetite.peak(chunk, adopted=_adopts(problem, method, chunk))
    if predicted > budget:
        return Record(
            name,
            "over_budget",
            f"needs {format_bytes(predicted)} with one direction at a time, of "
            f"{format_bytes(budget)}",
            method,
            chunk,
            predicted_bytes=predicted,
        )
    chosen = replace(method, chunk_size=chunk)
    return Record(
        name,
        "ok",
        method=chosen,
        chunk_size=chunk,
        passes=chosen.passes(problem),
        predicted_bytes=predicted,
    )


def _adopts(problem: Problem, method: Method, chunk: int) -> bool:
    """Whether the one product there is will be taken over as the result, uncopied."""
    if isinstance(method.strategy, Contraction):
        return False
    if chunk < method.directions(problem) or method.batching is Batching.LOOP:
        return False
    if problem.options.create_graph or len(problem.outputs) > 1:
        return False
    samples = 1 if method.batching is Batching.JOINT else problem.sample_count
    if isinstance(method.strategy, Pushforward):
        return chunk == 1
    return samples == 1 or chunk == 1
