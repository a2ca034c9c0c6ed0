"""Functions that TorchDynamo's guards recognise: the fast key of the process cache.

The guards check all that the code reads, in microseconds and whatever the function
refers to, where a fingerprint looks at everything that it could read. To capture a
function takes a tenth of a second, so it is done when as much has been spent on
fingerprints. What cannot be captured is never tried again.
"""

from __future__ import annotations

import functools
import sys
import warnings
from types import CodeType, FunctionType, MethodType
from typing import Any, Generic, TypeVar

from torch import nn

from jacengine._locks import TORCH_GLOBAL_LOCK
from jacengine._torch_compile import GuardedCaptures
from jacengine._torch_private import parameter_numbers
from jacengine.plans.request import PlanRequest
from jacengine.problem.nesting import is_nested
from jacengine.problem.problem import Problem
from jacengine.problem.signature import describe_leaves, describe_parameters

CAPTURE_S, MODULE_S, IMPORT_S = 0.1, 0.004, 1.5
"""What it takes to capture a function, and for each module that it refers to, and to
import TorchDynamo before the first."""
MAX_CAPTURES = 4
"""Captures of one function: each is another way through its code."""
T = TypeVar("T")


def code_of(fn: Any) -> CodeType | type | None:
    """Return what functions that are written anew at each call have in common."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    if isinstance(fn, MethodType):
        fn = fn.__func__
    if isinstance(fn, FunctionType):
        return fn.__code__
    return type(fn) if isinstance(fn, nn.Module) else None


class GuardedFunction(Generic[T]):
    """What was planned for functions with one code, behind the guards of each."""

    def __init__(self) -> None:
        """Begin with nothing captured."""
        self._captures: GuardedCaptures[_Known[T]] | None = None
        self._count = 0
        self._spent_s = 0.0
        self._price_s: float | None = None

    def find(self, request: PlanRequest) -> T | None:
        """Return what was planned for a function that does the same."""
        if self._captures is None:
            return None
        known = self._captures.recognize(request.fn, request.args, request.kwargs)
        return known.value if known is not None and known.fits(request) else None

    def spend(
        self, seconds: float, request: PlanRequest, value: T, problem: Problem
    ) -> None:
        """Account for a fingerprint; capture the function if that would have paid.

        Args:
            seconds: What the fingerprint took.
            request: The request that it was taken of.
            value: What is planned for that.
            problem: The problem that the plan is for.
        """
        self._spent_s += seconds
        if self._spent_s < CAPTURE_S or self._count >= MAX_CAPTURES:
            return
        if problem.changes_state or is_nested():
            return
        if self._price_s is None:
            self._price_s = _price(request)
        if self._spent_s < self._price_s:
            return
        self._spent_s = 0.0
        self._count += 1
        try:
            with TORCH_GLOBAL_LOCK, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if self._captures is None:
                    self._captures = GuardedCaptures()
                known = _Known(value, request, problem)
                self._captures.capture(
                    request.fn, request.args, request.kwargs, lambda *_: known
                )
        except Exception:  # whatever code that is not made for it raises
            self._count = MAX_CAPTURES


def _price(request: PlanRequest) -> float:
    """Predict the seconds that it takes to capture a function."""
    count = sum(1 for module in request.callee.modules for _ in module.modules())
    started = 0.0 if "torch._dynamo" in sys.modules else IMPORT_S
    return CAPTURE_S + count * MODULE_S + started


class _Known(Generic[T]):
    """A value, and what it is for: guards see only what the code reads.

    Attributes:
        value: The value.
    """

    def __init__(self, value: T, request: PlanRequest, problem: Problem) -> None:
        self.value = value
        self._leaves = describe_leaves(request.leaves)
        self._names = problem.call_spec.names
        fn: Any = request.fn
        self._parameters = describe_parameters(fn, self._names)
        self._tied = parameter_numbers(fn) if self._names else ()

    def fits(self, request: PlanRequest) -> bool:
        """Tell whether a request has such arguments and parameters, read or not."""
        fn: Any = request.fn
        return describe_leaves(request.leaves) == self._leaves and (
            not self._names
            or (
                parameter_numbers(fn) == self._tied
                and describe_parameters(fn, self._names) == self._parameters
            )
        )
