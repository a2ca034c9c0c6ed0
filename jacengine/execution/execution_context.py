"""The settings that a method needs, held while it runs and restored afterwards."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace

import torch

from jacengine._locks import TORCH_GLOBAL_LOCK
from jacengine._torch_private import (
    in_forward_mode,
    interruption_of,
    leave_forward_mode,
    leave_transforms,
    transform_depth,
)
from jacengine._vmap_warnings import RUNNING, ignore_slow_batching
from jacengine.errors import RandomnessError, StrategyError
from jacengine.execution.guard import Guard
from jacengine.execution.method import Method
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.problem.side_effects import preserve_side_effects, requiring_gradients


class execution_context:  # noqa: N801 - reads as the context manager it is
    """Hold every setting that a method needs, and leave no trace.

    Entering returns the function to evaluate, each evaluation of which starts from the
    same state. A class and not a generator, because every call of a plan enters it.
    """

    def __init__(
        self,
        problem: Problem,
        bound: BoundFunction,
        method: Method,
        *,
        on_fake_tensors: bool = False,
    ) -> None:
        """Prepare to run a method, on fake tensors without asking for random states."""
        self._watches_draws = not (problem.stochastic or on_fake_tensors)
        self._problem = problem
        self._bound = bound
        self._method = method
        self._stack: contextlib.ExitStack | None = None
        self._side_effects: preserve_side_effects | None = None
        self._guard: Guard | None = None
        self._random: torch.Tensor | None = None

    def __enter__(self) -> BoundFunction:
        """Apply the settings."""
        ignore_slow_batching()
        RUNNING.depth += 1
        try:
            return self._enter()
        except BaseException:
            RUNNING.depth -= 1
            raise

    def _enter(self) -> BoundFunction:
        problem, method = self._problem, self._method
        able = method.capabilities
        changes = problem.changes_state
        frozen = [p for p in self._bound.parameters() if not p.requires_grad]
        alone = able.thread_safe and able.trusted and not method.fallbacks
        exclusive = changes or not alone or bool(frozen)
        if exclusive or torch.is_inference_mode_enabled():
            with contextlib.ExitStack() as stack:
                if exclusive:
                    stack.enter_context(TORCH_GLOBAL_LOCK)
                stack.enter_context(torch.inference_mode(mode=False))
                stack.enter_context(requiring_gradients(frozen))
                for fallback in method.fallbacks:
                    stack.enter_context(fallback.enter())
                self._stack = stack.pop_all()
        self._handled = sys.exception()
        self._depth = transform_depth()
        self._in_forward_mode = in_forward_mode()
        self._grad_mode = torch.is_grad_enabled()
        recorded = able.records_graph or problem.options.create_graph
        # A fallback may be there to record what this strategy itself does not need.
        if recorded != self._grad_mode and not any(
            fallback.records_graph for fallback in method.fallbacks
        ):
            torch.set_grad_enabled(mode=recorded)
        self._random = torch.get_rng_state() if self._watches_draws else None
        if able.trusted and not changes:
            return self._bound
        self._side_effects = problem.preserve_side_effects(
            self._bound.callee, trusted=able.trusted
        )
        state = self._side_effects.__enter__()
        if not able.trusted:
            self._guard = Guard(self._bound)
        return replace(self._bound, reset=state.restore) if changes else self._bound

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        """Restore everything, also after an interruption.

        Raises:
            StrategyError: The strategy has changed what is the user's.
            RandomnessError: The function has drawn random numbers, which it did not
                when it was analyzed: its passes may differ.
        """
        RUNNING.depth -= 1
        interruption = interruption_of(error, self._handled)
        if error is not None:
            leave_transforms(self._depth)
            self._restore_forward_mode()
        changed: str | None = None
        try:
            if error is None:
                self._refuse_draws()
            if self._side_effects is not None:
                self._side_effects.__exit__()
            if self._guard is not None:  # what the function changes is not the plugin's
                changed = self._guard.restore()
        finally:
            if torch.is_grad_enabled() != self._grad_mode:
                torch.set_grad_enabled(mode=self._grad_mode)
            if self._stack is not None:
                self._stack.close()
        if interruption is not None and interruption is not error:
            raise interruption
        if changed is not None and error is None:
            raise StrategyError(
                f"{self._method.name} changes what is the user's: {changed}. It was put"
                " back, and the result is not used."
            )

    def _refuse_draws(self) -> None:
        """Refuse a result of random numbers, unless another thread has drawn them."""
        before = self._random
        if before is None or torch.equal(before, torch.get_rng_state()):
            return
        if self._bound.draws():
            torch.set_rng_state(before)
            raise RandomnessError(
                "The function draws random numbers now, which it did not when it was "
                "analyzed. Make a plan anew with randomness='same', or call .eval()."
            )

    def _restore_forward_mode(self) -> None:
        """Leave forward mode, unless the user or another thread is in it."""
        if not self._in_forward_mode and TORCH_GLOBAL_LOCK.acquire(blocking=False):
            leave_forward_mode()
            TORCH_GLOBAL_LOCK.release()
