"""Comparison of projections with a reference, and how a reference is computed."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from jacengine._locks import TORCH_GLOBAL_LOCK
from jacengine._torchfunc import Tensors
from jacengine.errors import JacengineError, UnsupportedError
from jacengine.execution.kernel_fallbacks import with_fallbacks
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.problem.side_effects import requiring_gradients
from jacengine.selection.candidate_result import operator_in
from jacengine.tolerance import TOLERANCES

T = TypeVar("T")


@dataclass(frozen=True)
class Verification:
    """The outcome of a comparison with the reference.

    Attributes:
        right: Whether every entry agrees within the tolerance.
        error: The largest relative error.
        finite: Whether the result is finite wherever the reference is.
    """

    right: bool
    error: float
    finite: bool

    @property
    def complaint(self) -> str:
        """What is wrong, in words."""
        if not self.finite:
            return "not finite where plain autograd is"
        return f"off by {self.error:.1e} from plain autograd (relative)"


@dataclass(frozen=True)
class Expected:
    """What a projection must be.

    Attributes:
        value: Its value by plain autograd.
        scale: What the tolerance of each entry is relative to.
        floor: The error that is tolerated in any case.
    """

    value: Tensor
    scale: Tensor
    floor: Tensor | float


def compare(
    values: Sequence[Tensor], expected: Sequence[Expected], dtype: torch.dtype
) -> Verification:
    """Compare projections with what they must be, where that is finite."""
    tolerance = TOLERANCES[dtype].projection
    right, finite, worst = True, True, 0.0
    for value, wanted in zip(values, expected, strict=True):
        known = wanted.value.isfinite()
        floor = torch.as_tensor(
            wanted.floor, dtype=wanted.scale.dtype, device=known.device
        )
        floor = floor.expand_as(wanted.value)[known]
        got = value.to(wanted.value)[known]
        finite &= bool(got.isfinite().all())
        difference = (got - wanted.value[known]).abs()
        scale = wanted.scale[known]
        right &= bool((difference <= tolerance * scale + floor).all())
        relative = difference / (scale + floor + torch.finfo(scale.dtype).tiny)
        if relative.numel():
            worst = max(worst, float(relative.nan_to_num(nan=float("inf")).max()))
    return Verification(right and finite, worst, finite)


def draw_cotangents(samples: int, counts: Sequence[int], seed: int) -> Tensors:
    """Draw cotangents away from zero, so that an error in any entry of J shows.

    Returns:
        One a group of rows, `(samples, count)`, of magnitude 0.5 to 1.5 and random
        sign, drawn without the global generator.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn: list[Tensor] = []
    for count in counts:
        shape = (samples, count)
        magnitude = torch.rand(
            shape, generator=generator, dtype=torch.float64, device="cpu"
        )
        sign = torch.randint(0, 2, shape, generator=generator, device="cpu") * 2 - 1
        drawn.append((magnitude + 0.5) * sign)
    return tuple(drawn)


def plain_autograd(problem: Problem, bound: BoundFunction, run: Callable[[], T]) -> T:
    """Run plain autograd, without the kernels that lack a formula.

    Raises:
        UnsupportedError: An operator has no derivative, or its backward pass fails.
        RuntimeError: What the function itself raises.
    """
    try:
        with reference_context(problem, bound):
            return with_fallbacks(run)
    except RuntimeError as error:
        if isinstance(error, JacengineError):
            raise
        operator = operator_in(str(error))
        reason = f"{operator} has no derivative"
        if operator is None:
            node = _failing_node(problem, bound, run)
            if node is None:
                raise
            reason = f"{node} fails"
        raise UnsupportedError(
            f"Torch cannot differentiate the function for its {problem.title}: "
            f"{reason}. Write what it computes with other operators. Torch says: "
            f"{error}"
        ) from error


def _failing_node(
    problem: Problem, bound: BoundFunction, run: Callable[[], object]
) -> str | None:
    """Run again; return the node of the graph whose backward pass fails, if one does.

    Torch names it in a warning, where it looks for anomalies.
    """
    with warnings.catch_warnings(record=True) as caught, TORCH_GLOBAL_LOCK:
        warnings.simplefilter("always")
        with (
            contextlib.suppress(Exception),
            torch.autograd.detect_anomaly(check_nan=False),
            reference_context(problem, bound),
        ):
            run()
    for warning in caught:
        found = re.search(r"Error detected in (\w+)", str(warning.message))
        if found:
            return found[1]
    return None


@contextmanager
def reference_context(problem: Problem, bound: BoundFunction) -> Generator[None]:
    """Record a graph, whatever mode is set; restore random state and buffers."""
    parameters = bound.parameters()
    exclusive = problem.changes_state or not all(p.requires_grad for p in parameters)
    with (
        torch.inference_mode(mode=False),
        torch.enable_grad(),
        TORCH_GLOBAL_LOCK if exclusive else contextlib.nullcontext(),
        requiring_gradients(parameters),
        problem.preserve_side_effects(bound.callee),
    ):
        yield
