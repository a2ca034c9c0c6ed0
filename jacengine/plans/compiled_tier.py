"""The compiled forms of a plan's methods: made beside its calls once those have paid.

The ski-rental rule again: when calls have taken as long as compiling is expected to, it
is begun on another thread, and what it makes takes over between two calls, if it is
right and faster. The end of the process stops it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace

from jacengine._locks import TORCH_GLOBAL_LOCK
from jacengine._progress import progress
from jacengine.execution.compiled import not_compilable
from jacengine.execution.method import Execution
from jacengine.execution.sweep import Sweep, prepare
from jacengine.interface import Composition
from jacengine.plans.background import on_a_thread
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.selection.candidate_result import CandidateResult, classify_error
from jacengine.selection.candidates import candidates
from jacengine.selection.eligibility import in_chunks
from jacengine.selection.memory_bound import negligible_memory
from jacengine.selection.select import Selection
from jacengine.selection.variants import compiled_variants, in_other_mode
from jacengine.timing import format_seconds

LONGEST_CALL_S = 0.02
"""Longer calls spend their time in kernels, where there is little to gain."""
OPERATOR_S, COMPILE_S = 8e-6, 0.015
"""What an operator takes by itself, eagerly, and what it takes to compile one."""
PROGRAM_S, IMPORT_S = 1.5, 3.0
"""What it takes to compile any program, and to import the compiler before the first."""

Found = tuple[CandidateResult, ...]
START: Callable[[Callable[[], Found]], Future[Found]] = on_a_thread
"""How compilation is begun; tests replace it."""


class CompiledTier:
    """When compiling pays, and what it has made."""

    def __init__(
        self,
        problem: Problem,
        selection: Selection,
        compositions: Sequence[Composition],
        calls: int | None = None,
    ) -> None:
        """Begin to account for calls.

        Args:
            problem: What is computed.
            selection: What has been chosen.
            compositions: The strategies that were considered.
            calls: How many calls there will be, if the user knows.
        """
        self._problem, self._selection = problem, selection
        self._compositions = tuple(compositions)
        self._future: Future[Found] | None = None
        self._call_s = selection.ranked[0].time_s or 0.0
        self._spent_s = 0.0 if calls is None else (calls - 1) * self._call_s

    @functools.cached_property
    def variants(self) -> Found:
        """What there is to compile.

        The fastest method, one of the other mode, and what captures programs:
        compiled, the rest come down to nearly the same operators. Nothing is compiled
        where it would be no gain.
        """
        selection, problem = self._selection, self._problem
        ranked = selection.ranked
        if selection.effort == "none" or not selection.raced or ranked[0].compiled:
            return ()
        if self._call_s > LONGEST_CALL_S or not_compilable(problem) is not None:
            return ()
        skipped = [r for r in selection.candidates if r.outcome == "skipped"]
        found = list(compiled_variants(problem, ranked, skipped, selection.budget))
        kept = [
            variant
            for number, variant in enumerate(found)
            if number == 0
            or (number == 1 and in_other_mode(problem, variant, found[0]))
            or _captures(variant)
        ]
        return (*kept, *self._untried())

    @functools.cached_property
    def price_s(self) -> float:
        """What compiling is expected to take."""
        imported = "torch._inductor.compile_fx" in sys.modules
        each = PROGRAM_S + COMPILE_S * self._call_s / OPERATOR_S
        return (0.0 if imported else IMPORT_S) + len(self.variants) * each

    @property
    def begun(self) -> bool:
        """Whether compilation goes on, or is over."""
        return self._future is not None

    @property
    def ready(self) -> bool:
        """Whether compilation is over."""
        return self._future is not None and self._future.done()

    @property
    def pays(self) -> bool:
        """Whether to begin: calls have taken as long as compiling is expected to."""
        if self._spent_s < PROGRAM_S or self.begun or not self.variants:
            return False
        return self._spent_s >= self.price_s

    @property
    def note(self) -> str | None:
        """Say in a sentence when it begins; `None` if never."""
        if self.begun:
            return "Compiled methods are being made beside the calls."
        if not self.variants:
            return None
        return (
            "Not compiled yet: that begins when calls have taken as long as it is "
            f"expected to, {format_seconds(self.price_s)}."
        )

    def spend(self, seconds: float) -> None:
        """Account for a call."""
        self._spent_s += seconds

    def begin(self, bound: BoundFunction) -> None:
        """Trace for calls like this one, and compile on another thread."""
        traced = [self._traced(variant, bound) for variant in self.variants]

        def compile_all() -> Found:
            with progress(None):  # nobody waits for it
                return tuple(_compiled(*each) for each in traced)

        self._future = START(compile_all)

    def result(self, timeout: float | None = None) -> Found:
        """Wait until it is over; return what is ready, or why it is not.

        Raises:
            TimeoutError: It is not over by then.
        """
        assert self._future is not None
        try:
            return self._future.result(timeout)
        except TimeoutError:
            raise
        except Exception as error:  # in a process that was forked meanwhile
            outcome, reason = classify_error(error)
            return tuple(
                replace(variant, outcome=outcome, reason=reason)
                for variant in self.variants
            )

    def _untried(self) -> Iterator[CandidateResult]:
        """Yield what captures the function, and was not tried for that."""
        problem, selection = self._problem, self._selection
        skipped = {r.strategy for r in selection.candidates if r.outcome == "skipped"}
        for composition in self._compositions:
            able, strategy = composition.capabilities, composition.strategy
            if not able.captures or composition.name not in skipped:
                continue
            method = next(candidates(problem, [composition]), None)
            if method is None or strategy.check(problem) is not None:
                continue
            model = negligible_memory(problem, method, selection.budget)
            if model is not None:
                method = replace(method, execution=Execution.COMPILED)
                most = max(1, method.directions(problem))
                yield in_chunks(problem, method, model, most, most)

    def _traced(
        self, variant: CandidateResult, bound: BoundFunction
    ) -> tuple[CandidateResult, Callable[[], None] | None]:
        """Trace a candidate; return it with what compiles it, if that is possible."""
        assert variant.method is not None
        problem = self._problem
        try:
            with TORCH_GLOBAL_LOCK:
                method = prepare(problem, bound, variant.method, timed=False)
            sweep = Sweep(problem, method)
            return replace(variant, method=method, sweep=sweep), sweep.trace(bound)
        except Exception as error:
            outcome, reason = classify_error(error)
            return replace(variant, outcome=outcome, reason=reason), None


def _compiled(
    variant: CandidateResult, compile_traced: Callable[[], None] | None
) -> CandidateResult:
    if compile_traced is None:
        return variant
    try:
        compile_traced()
    except Exception as error:
        outcome, reason = classify_error(error)
        return replace(variant, outcome=outcome, reason=reason, sweep=None)
    return variant


def _captures(result: CandidateResult) -> bool:
    return result.method is not None and result.method.capabilities.captures
