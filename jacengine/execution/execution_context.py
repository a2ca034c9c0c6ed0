"""The settings that a method needs, held while it runs, and put back."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import torch

from jacengine._locks import TORCH_GLOBAL_LOCK
from jacengine._torch_private import in_forward_mode, leave_forward_mode
from jacengine.execution.kernel_fallbacks import applied_fallbacks
from jacengine.execution.method import Method
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.problem.side_effects import preserve_side_effects


class execution_context:  # noqa: N801 - reads as the context manager it is
    """Hold every setting that a method needs, and leave no trace.

    Entering gives the call, which starts each evaluation from the same state. A class
    and not a generator, because every call of a plan enters it.
    """

    def __init__(self, problem: Problem, bound: BoundFunction, method: Method) -> None:
        self._problem = problem
        self._call = bound
        self._method = method
        self._stack: contextlib.ExitStack | None = None
        self._preserved: preserve_side_effects | None = None

    def __enter__(self) -> BoundFunction:
        """Set everything up."""
        problem, method = self._problem, self._method
        strategy = method.strategy
        changes = problem.changes_state
        alone = changes or not strategy.thread_safe
        if alone or torch.is_inference_mode_enabled() or method.scopes:
            with contextlib.ExitStack() as stack:
                if alone:
                    stack.enter_context(TORCH_GLOBAL_LOCK)
                stack.enter_context(torch.inference_mode(mode=False))
                stack.enter_context(applied_fallbacks(method.scopes))
                self._stack = stack.pop_all()
        self._mends = not strategy.thread_safe and not in_forward_mode()
        self._recording = torch.is_grad_enabled()
        recorded = strategy.records_graph or problem.options.create_graph
        # A scope may be there to record what this strategy has no use for itself.
        if recorded != self._recording and not any(
            scope.records_graph for scope in method.scopes
        ):
            torch.set_grad_enabled(mode=recorded)
        if strategy.trusted and not changes:
            return self._call
        self._preserved = preserve_side_effects(problem.devices, problem.stateful)
        state = self._preserved.__enter__()
        return replace(self._call, reset=state.restore) if changes else self._call

    def __exit__(self, kind: object, *_: object) -> None:
        """Put everything back, also what was interrupted half way."""
        if kind is not None and self._mends:
            leave_forward_mode()
        try:
            if self._preserved is not None:
                self._preserved.__exit__()
        finally:
            if torch.is_grad_enabled() != self._recording:
                torch.set_grad_enabled(mode=self._recording)
            if self._stack is not None:
                self._stack.close()
