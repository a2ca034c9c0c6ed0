"""Seeding by colours of columns and of rows, which show the entries between them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from jacengine.interface import Mode
from jacengine.problem.problem import Problem
from jacengine.seeding.colored import two_sided_coloring_for
from jacengine.seeding.colored_seeds import bind_colors
from jacengine.seeding.samples import SamplePolicy
from jacengine.seeding.seeding import Seeding


@dataclass(frozen=True)
class TwoSidedColors:
    """One direction for each colour of one side; a second method has the other side.

    The random direction goes with the rows, whose products come last.
    """

    name: ClassVar[str] = "two-sided colors"

    def bind(self, problem: Problem, mode: Mode, policy: SamplePolicy) -> Seeding:
        """Return the colours of the columns that JVPs, or of the rows that VJPs show.

        Raises:
            ValueError: The problem has no pattern that such colours suit.
        """
        both = two_sided_coloring_for(problem)
        if both is None:
            raise ValueError("there is no pattern to colour on both sides")
        pushes = mode == "jvp"
        return bind_colors(
            problem,
            mode,
            policy,
            both.columns if pushes else both.rows,
            by_columns=pushes,
            adds_up=False,
            checked=problem.options.verify and problem.colors is None and not pushes,
        )

    def first(self, problem: Problem, mode: Mode, count: int) -> Problem:
        """Return the problem of the values of the first colours alone."""
        del mode
        values = replace(problem.options, layout="values")
        return replace(problem, colors=count, options=values)
