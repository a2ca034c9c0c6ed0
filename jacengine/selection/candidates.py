"""The candidates of a problem: the product of all axes, the most promising first.

Eligibility, chunk and slice variants, compiled variants and the methods behind a linear
operator are filters of this stream or changes of its members.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from jacengine.execution.method import Method
from jacengine.interface import Composition
from jacengine.problem.problem import Problem
from jacengine.seeding.samples import SamplePolicy, sample_policies
from jacengine.selection.cost_model import predicted_cost


def candidates(
    problem: Problem, compositions: Sequence[Composition], *, coupled: bool = False
) -> Iterator[Method]:
    """Yield the methods there are for a problem, in the order of the cost model.

    The methods of one composition follow each other, the best sample policy first. A
    composition without a right sample policy has none.

    Args:
        problem: What to compute.
        compositions: The strategies and gradients to consider.
        coupled: Whether all samples are to be one point, as linear operators need it.
    """
    found: list[tuple[float, int, tuple[Method, ...]]] = []
    for place, composition in enumerate(compositions):
        methods = tuple(
            Method(composition.strategy, composition.gradient, policy)
            for policy in _policies(problem, composition, coupled=coupled)
        )
        if methods:
            found.append((predicted_cost(problem, methods[0]), place, methods))
    for _, _, methods in sorted(found, key=lambda item: item[:2]):
        yield from methods


def by_composition(methods: Iterator[Method]) -> Iterator[tuple[Method, ...]]:
    """Group methods that follow each other and differ in their sample policy only."""
    for _, group in groupby(methods, key=lambda method: method.name):
        yield tuple(group)


def _policies(
    problem: Problem, composition: Composition, *, coupled: bool
) -> tuple[SamplePolicy, ...]:
    if coupled and problem.batch_size is not None:
        return (SamplePolicy.COUPLED_ROWS,)
    return sample_policies(problem, composition.capabilities)
