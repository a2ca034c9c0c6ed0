"""Seeding by the colours of columns, of rows, or of a symmetric matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from jacengine.interface import Mode
from jacengine.patterns.coloring import Coloring
from jacengine.patterns.two_sided import TwoSidedColoring
from jacengine.problem.problem import Problem
from jacengine.seeding.colored_seeds import bind_colors
from jacengine.seeding.samples import SamplePolicy
from jacengine.seeding.seeding import Seeding


@dataclass(frozen=True)
class Colors:
    """One direction for each colour of the problem's pattern."""

    name: ClassVar[str] = "colors"

    def bind(self, problem: Problem, mode: Mode, policy: SamplePolicy) -> Seeding:
        """Return the colours of the columns or rows, as directions.

        Raises:
            ValueError: The problem has no pattern, or rows are coupled.
        """
        coloring = coloring_for(problem, mode)
        return bind_colors(
            problem,
            mode,
            policy,
            coloring,
            by_columns=mode == "jvp" or _is_symmetric(problem),
            adds_up=coloring.direct,
            checked=_is_checked(problem, coloring),
        )

    def first(self, problem: Problem, mode: Mode, count: int) -> Problem:
        """Return the problem of the values of the first colours alone."""
        values = replace(problem.options, layout="values")
        part = replace(problem, colors=count, options=values)
        checked = _is_checked(part, coloring_for(problem, mode))
        return replace(part, colors=count - 1) if checked else part


def coloring_for(problem: Problem, mode: Mode) -> Coloring:
    """Return the colouring of a problem's pattern for a mode.

    Raises:
        ValueError: The problem has no pattern.
    """
    pattern = problem.pattern
    if pattern is None:
        raise ValueError("there is no pattern to colour")
    if _is_symmetric(problem):
        return pattern.symmetric_coloring
    return pattern.column_coloring if mode == "jvp" else pattern.row_coloring


def two_sided_coloring_for(problem: Problem) -> TwoSidedColoring | None:
    """Return colours of both columns and rows, if those are fewer than of either."""
    pattern = problem.pattern
    if pattern is None or _is_symmetric(problem):
        return None
    return pattern.two_sided_coloring


def color_count(problem: Problem) -> int:
    """Count the colours of a problem's pattern: by JVPs, VJPs or both, the fewest.

    Raises:
        ValueError: The problem has no pattern.
    """
    both = two_sided_coloring_for(problem)
    if both is not None:
        return both.count
    return min(coloring_for(problem, "jvp").count, coloring_for(problem, "vjp").count)


def _is_checked(problem: Problem, coloring: Coloring) -> bool:
    """Tell whether a random direction goes with the colours.

    What is read in a mirrored place needs all of them.
    """
    wanted = problem.options.verify and coloring.count > 0
    return wanted and (problem.colors is None or coloring.direct)


def _is_symmetric(problem: Problem) -> bool:
    """Tell whether the columns of a matrix are coloured, whatever seeds are."""
    pattern = problem.pattern
    return pattern is not None and problem.gradient is not None and pattern.symmetric
