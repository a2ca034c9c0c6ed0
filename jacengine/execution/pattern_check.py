"""What is said when J has a nonzero outside of its sparsity pattern."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from jacengine.errors import PatternError
from jacengine.problem.problem import Problem

OUTSIDE = "has a nonzero outside of its sparsity pattern"
"""What is said of such a result."""


def refuse_outside(problem: Problem, outside: Sequence[Tensor]) -> None:
    """Refuse a result if products show a nonzero outside of the pattern.

    Args:
        problem: What was computed.
        outside: Whether a product does, for each part of the samples.

    Raises:
        PatternError: One does.
    """
    if not any(map(bool, outside)):
        return
    origin = "" if problem.pattern is None else f" ({problem.pattern.origin})"
    raise PatternError(
        f"The {problem.title} {OUTSIDE}{origin}. Give a pattern that holds at all "
        "points, or leave it to jacengine: sparsity='detect'."
    )
