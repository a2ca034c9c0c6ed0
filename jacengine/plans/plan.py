"""A plan: a method chosen once, for calls of one signature."""

from __future__ import annotations

import copy
import itertools
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

from typing_extensions import TypeVar

from jacengine import pytrees
from jacengine._files import replace_file
from jacengine._progress import stage, tell
from jacengine.errors import (
    ArgumentError,
    JacengineError,
    NoStrategyError,
    nearest,
)
from jacengine.execution.method import Method
from jacengine.execution.sweep import Sweep, prepare
from jacengine.interface import Composition
from jacengine.plans.compiled_tier import CompiledTier
from jacengine.plans.complex_result import complex_result
from jacengine.plans.compute import compute_nested, without_aux
from jacengine.plans.fallback import compute_by_first, untried
from jacengine.plans.resize import resize, unprepared
from jacengine.plans.serialization import describe_options, to_json
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.callee import NO_CALLEE, Callee
from jacengine.problem.nesting import is_nested, refuse_lost_derivatives
from jacengine.problem.problem import Problem
from jacengine.problem.real_view import real_arguments, stated_options
from jacengine.problem.signature import Signature
from jacengine.results.buffer_pool import RESULT_POOL, BufferPool
from jacengine.selection.candidate_result import CandidateResult, classify_error
from jacengine.selection.cauchy_riemann import check_holomorphic
from jacengine.selection.compiled_race import race_compiled
from jacengine.selection.effort import Compiled
from jacengine.selection.explain import as_frame, as_text
from jacengine.selection.explain_html import as_html
from jacengine.selection.select import Selection
from jacengine.timing import format_seconds

if TYPE_CHECKING:
    import pandas as pd

POOLED_SHARE = 20
"""How many times a result has to fit into the budget for its memory to be pooled."""

SIZES = 8
"""Other numbers of samples that a plan is ready for at a time."""


J_co = TypeVar("J_co", default=Any, covariant=True)
"""What a plan, or a piece, has as its Jacobian, as far as a type checker knows."""


class Plan(Generic[J_co]):
    """The chosen way to one Jacobian; call it with arguments of the same signature.

    Attributes:
        callee: The function whose Jacobian it computes.
        problem: What it computes.
        selection: Every candidate and what became of it.
        signature: What it is bound to.
        compositions: The strategies and gradients considered, tried or not.
        failures: What went wrong with candidates that were in use, in words.
    """

    def __init__(
        self,
        problem: Problem,
        selection: Selection,
        signature: Signature,
        compositions: Sequence[Composition] = (),
        callee: Callee = NO_CALLEE,
        *,
        compiled: Compiled = False,
        calls: int | None = None,
    ) -> None:
        """Bind a selection to a signature, and to a function.

        With `compiled="auto"` it is compiled when calls have paid for that, or at once
        if so many `calls` will.
        """
        self.callee = callee
        self.problem = problem
        self.selection = selection
        self.signature = signature
        self.compositions = tuple(compositions)
        self.failures: tuple[str, ...] = ()
        self._resized = dict[int, Plan]()
        self._sweep: Sweep | None = None  # without: from a pickle, or a copy
        self._eager: Sweep | None = None  # beside a compiled one, once it is needed
        self._compiled = compiled
        self._tier: CompiledTier | None = None
        if compiled == "auto" and selection.ranked:
            self._tier = CompiledTier(problem, selection, compositions, calls)
        self._use(selection.ranked)

    @property
    def chosen(self) -> CandidateResult:
        """The candidate that this plan uses."""
        return self._left[0]

    @property
    def strategy(self) -> str:
        """The name of the strategy that this plan uses."""
        return self.chosen.strategy

    def __call__(
        self, *args: Any, kwargs: Mapping[str, Any] | None = None, out: Any = None
    ) -> J_co:
        """Compute the Jacobian at other arguments of the same signature.

        Args:
            args: The function's positional arguments.
            kwargs: Its keyword arguments.
            out: Preallocated result of the same structure, written in place.

        Returns:
            The Jacobian, `out` if it was given; with `has_aux`, `(J, aux)`.

        Raises:
            PlanMismatchError: The arguments have another signature. Another number of
                samples is none: the same method is made ready for it, and verified.
            RuntimeError: What the function itself raises, or every candidate.
            MemoryError: No candidate fits into the memory that is left.
        """
        options, named = self.problem.options, kwargs or {}
        found: J_co
        if options.complex is not None:
            args, named = real_arguments(self.callee.fn, args, named)
        if options.complex != "holomorphic":
            found = self.call(args, named, out=out)
            return found
        found = complex_result(options, self.call(args, named), out)
        if options.verify:
            self.require_holomorphic(args, named)
        return found

    def require_holomorphic(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """Check the Cauchy-Riemann equations at real arguments; see `call`.

        Raises:
            ArgumentError: They do not hold.
        """
        leaves, _ = pytrees.flatten_call(args, kwargs)
        check_holomorphic(self.problem.bind(Callee(self.callee.fn, leaves), leaves))

    def call(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, out: Any = None
    ) -> Any:
        """Compute the Jacobian of the real function that is planned for.

        Args:
            args: Its positional arguments; those of a complex function written as real
                ones.
            kwargs: Its keyword arguments.
            out: As of a call.

        Raises:
            PlanMismatchError: The arguments have another signature.
        """
        callee = self.callee
        if out is None:
            found = self.run_guarded(callee.fn, args, kwargs)
            if found is not None:
                return found
        leaves, structure = pytrees.flatten_call(args, kwargs)
        count = self.problem.call_spec.count_samples(leaves)
        if count is not None and count != self.problem.batch_size:
            return self._with_samples(count, args, kwargs).call(args, kwargs, out=out)
        self.signature.check(callee, leaves, structure)
        if callee.objects:  # today's arguments may be others, that are alike
            callee = Callee(callee.fn, leaves)
        return self.compute(callee, leaves, out=out)

    def run_guarded(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Compute by a compiled program whose guards a call passes.

        They take the place of the signature, and tell that the function is the one that
        was compiled, or would do the same.

        Returns:
            The Jacobian; `None` if there is no such program.
        """
        sweep = self._sweep
        if sweep is None or not sweep.compiled or is_nested():
            return None
        try:
            found = sweep.run_guarded(fn, args, kwargs, self._pool)
        except (RuntimeError, MemoryError):
            return None  # what follows goes on with another candidate
        return None if found is None else without_aux(found)

    def compute(self, callee: Callee, leaves: Sequence[Any], *, out: Any = None) -> Any:
        """Compute the Jacobian at flattened arguments of this very signature.

        Args:
            callee: The function, or one that would do the same.
            leaves: The arguments.
            out: As of a call.

        Raises:
            RuntimeError: What the function itself raises, or every candidate.
            MemoryError: No candidate fits into the memory that is left.
        """
        create_graph = self.problem.options.create_graph
        refuse_lost_derivatives(callee, leaves, create_graph=create_graph)
        bound, tier = self.problem.bind(callee, leaves), self._tier
        if tier is not None and tier.ready and not is_nested():
            self._take_over(tier, bound)
        started = time.perf_counter()
        try:
            sweep = self._ready(bound, out)
            return compute_nested(self.problem, bound, sweep, out=out, pool=self._pool)
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, JacengineError):
                raise
            recovered = self._fall_back(bound, error, out)
            if recovered is None:
                raise
            return recovered
        finally:
            if tier is not None:
                tier.spend(time.perf_counter() - started)
                if tier.pays and not is_nested():
                    tell("background compilation")
                    tier.begin(bound)

    def wait(
        self,
        *args: Any,
        kwargs: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Plan[J_co]:
        """Compile now for such arguments, if that is left to the plan, and wait for it.

        Args:
            args: The function's positional arguments.
            kwargs: Its keyword arguments.
            timeout: Seconds to wait at most; `None` for as long as it takes.

        Returns:
            This plan, which is compiled now if that is right and faster.

        Raises:
            TimeoutError: It takes longer.
            PlanMismatchError: The arguments have another signature.
        """
        tier = self._tier
        if tier is None or not tier.variants:
            return self
        args, named = real_arguments(self.callee.fn, args, kwargs or {})
        leaves, structure = pytrees.flatten_call(args, named)
        self.signature.check(self.callee, leaves, structure)
        bound = self.problem.bind(Callee(self.callee.fn, leaves), leaves)
        with stage("compilation"):
            if not tier.begun:
                tier.begin(bound)
            tier.result(timeout)
        self._take_over(tier, bound)
        return self

    def _take_over(self, tier: CompiledTier, bound: BoundFunction) -> None:
        """Use what has been compiled beside the calls, if it is right and faster."""
        self._tier = None
        found = tier.result()
        self.selection = race_compiled(self.problem, bound, self.selection, found)
        self._use(self.selection.ranked)

    def _with_samples(
        self, count: int, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Plan:
        """Return the plan for another number of samples, made from the same choice.

        Raises:
            PlanMismatchError: The arguments differ in something else too.
            MemoryBudgetError: No method of this plan fits into its budget.
        """
        plan = self._resized.get(count)
        if plan is None:
            plan = copy.copy(self)
            plan.signature = self.signature.with_samples(self.problem.call_spec, count)
            leaves, structure = pytrees.flatten_call(args, kwargs)
            plan.signature.check(self.callee, leaves, structure)
            plan.problem, plan.selection = resize(
                self.problem,
                self._uncompiled,
                self.compositions,
                self.callee,
                leaves,
            )
            plan._resized = {}
            if self._compiled == "auto":
                plan._tier = CompiledTier(
                    plan.problem, plan.selection, plan.compositions
                )
            plan._use(plan.selection.ranked)
            while len(self._resized) >= SIZES:
                self._resized.pop(next(iter(self._resized)), None)
            self._resized[count] = plan
        return plan

    def save(self, path: str | Path) -> None:
        """Write the choice to a JSON file, for `jacengine.load_plan`.

        Args:
            path: The file; it is replaced if it exists, at once.
        """
        options = stated_options(self.callee.fn, self.problem.options)
        replace_file(Path(path), to_json(self.selection, describe_options(options)))

    @property
    def _uncompiled(self) -> Selection:
        """The selection, without what is compiled unless the user has asked for it.

        To compile anew takes seconds, for which further calls have to pay first.
        """
        if self._compiled != "auto":
            return self.selection
        left = tuple(r for r in self.selection.candidates if not r.compiled)
        return replace(self.selection, candidates=left)

    def of(self, callee: Callee) -> Plan[J_co]:
        """Return the plan for another function that would do the same, or for none.

        Without one nothing of the user's is kept alive.
        """
        plan = copy.copy(self)
        plan.callee = callee
        plan._resized = {}
        return plan

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what methods hold ready: it is made anew at the first call."""

        def emptied(result: CandidateResult) -> CandidateResult:
            return unprepared(result, self.compositions)

        kept = self._uncompiled.candidates
        left = [result for result in self._left if result in kept]
        return {
            **vars(self),
            "selection": replace(self.selection, candidates=tuple(map(emptied, kept))),
            "_left": tuple(map(emptied, left)),
            "_sweep": None,
            "_eager": None,
            "_tier": None,
            "_resized": {},
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin to account for calls anew."""
        vars(self).update(state)
        if self._compiled == "auto":
            self._tier = CompiledTier(self.problem, self.selection, self.compositions)

    def _ready(self, bound: BoundFunction, out: Any) -> Sweep:
        """Return what computes a call: compiled, if that is compiled for such calls.

        Unless the user has asked for it, nothing is compiled in a call that waits: what
        does something else than before (another value of an attribute), or writes into
        `out`, is computed by the best eager method.
        """
        sweep = self._sweep or self._prepare(bound)
        if self._compiled != "auto" or sweep.fits(bound, out):
            return sweep
        if self._eager is None:
            eager = [r for r in self._left if r.method is not None and not r.compiled]
            if not eager:
                return sweep
            self._eager = eager[0].sweep or Sweep(self.problem, _method_of(eager[0]))
        return self._eager

    def _prepare(self, bound: BoundFunction) -> Sweep:
        """Make the method ready at the first call."""
        timed = self.selection.effort != "none"
        method = prepare(self.problem, bound, _method_of(self.chosen), timed=timed)
        self._sweep = Sweep(self.problem, method)
        return self._sweep

    @property
    def _pool(self) -> BufferPool | None:
        """The memory of results, if pooling it is negligible beside the budget."""
        ample = POOLED_SHARE * self.problem.result_bytes <= self.selection.budget
        return RESULT_POOL if ample else None

    def _use(self, left: tuple[CandidateResult, ...]) -> None:
        self._left = left
        self._eager = None
        self._sweep = left[0].sweep or Sweep(self.problem, _method_of(left[0]))

    def _fall_back(self, bound: BoundFunction, error: Exception, out: Any) -> Any:
        """Compute by the next candidate that can, and continue with it.

        Returns:
            The Jacobian; `None` if no other candidate can compute it either.
        """
        failed = self.chosen
        problem, left = self.problem, self._left[1:]
        more = untried(problem, bound, self.selection, self.compositions)
        found = compute_by_first(problem, bound, itertools.chain(left, more), out)
        if found is None:
            return None
        result, self._sweep, answer = found
        outcome, reason = classify_error(error)
        failure = f"{failed.strategy} failed ({outcome}: {reason})"
        self.failures = (*self.failures, failure)
        self._left = (result, *(r for r in left if r is not result))
        warnings.warn(
            f"jacengine: {failure}; this plan goes on with {result.strategy}.",
            stacklevel=3,
        )
        return answer

    def __repr__(self) -> str:
        """Say in a line what it computes, and how."""
        problem, time_s = self.problem, self.chosen.time_s
        what = f"{problem.output_count} outputs x {problem.column_count} inputs"
        if problem.batch_size is not None:
            what += f", {problem.batch_size} samples"
        took = "" if time_s is None else f", {format_seconds(time_s)}"
        return f"Plan({problem.title} of {what}: {self.strategy}{took})"

    def _repr_html_(self) -> str:
        """Show the table of `explain()` in a notebook."""
        return as_html(self.problem, self.selection)

    def explain(self) -> str:
        """Return what was chosen and why, as a table of every candidate."""
        said = [f"{said}; now in use: {self.strategy}." for said in self.failures]
        note = None if self._tier is None else self._tier.note
        said += [] if note is None else [note]
        return as_text(self.problem, self.selection, said)

    def to_frame(self) -> pd.DataFrame:
        """Return every candidate as a row of a pandas data frame."""
        return as_frame(self.selection)

    def why_not(self, strategy: str) -> str:
        """Explain in one sentence why a strategy is not the one in use.

        Raises:
            ArgumentError: It was not among the candidates.
        """
        known = {r.strategy: r for r in reversed(self.selection.candidates)}
        if strategy not in known:
            raise ArgumentError(
                f"{strategy!r} was not a candidate.{nearest(strategy, known)} There "
                f"were: {', '.join(known)}."
            )
        result, chosen = known[strategy], self.chosen
        if result is chosen:
            return f"{strategy} is the one in use."
        if result.outcome != "ok":
            return f"{strategy}: {result.outcome}: {result.reason}."
        if result.time_s is None or chosen.time_s is None:
            return f"{strategy} comes after {chosen.strategy} by predicted cost."
        return (
            f"{strategy} is right, but took {result.time_s / chosen.time_s:.2f} x the "
            f"time of {chosen.strategy}."
        )


def _method_of(result: CandidateResult) -> Method:
    if result.method is None:
        raise NoStrategyError(f"{result.strategy} has no method")
    return result.method
