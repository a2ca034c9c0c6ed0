"""The candidates of a problem: the product of all axes, the most promising first.

Eligibility, chunk and slice variants, compiled variants and the methods behind a linear
operator are filters of this stream or changes of its members. Their order is that of a
cost model, from facts alone, counted in forward passes on one direction. It only
decides which candidate is tried first and what `effort="none"` takes; measurements
decide everything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from jacengine.execution.method import COLORS, Method
from jacengine.interface import Composition
from jacengine.problem.gradient import GradientMode
from jacengine.problem.problem import SPARSE, Problem
from jacengine.seeding.colored import coloring_for
from jacengine.seeding.samples import SamplePolicy, sample_policies
from jacengine.task import balanced

LAUNCH = 20.0
"""A pass costs this many directions before it computes anything."""
DUAL = 10.0
"""A forward pass on dual numbers launches so many times as many operators: the rules of
many operators are decompositions in Python."""
ARITHMETIC = {"jvp": 3.0, "vjp": 2.0, "trace": 1.0, "direct": 3.0}
"""Arithmetic of one direction, by mode; a VJP is of inputs and of weights ... What is
direct comes after the others, since it has to be captured first."""
WITHOUT_WEIGHT_GRADIENTS = 0.8
"""... unless weight gradients are not formed."""
EXPANDED = 1.5
"""Expanded shared inputs turn matrix products into batched ones."""


def candidates(
    problem: Problem, compositions: Sequence[Composition], *, coupled: bool = False
) -> Iterator[Method]:
    """Yield the methods there are for a problem, in the order of the cost model.

    The methods of one composition follow each other, the best sample policy first. A
    composition without a right sample policy has none. Those that have to capture the
    function come last. With `coupled`, all samples are
    one point, as linear operators need it.
    """
    groups: list[tuple[Method, ...]] = []
    # Sparse results, and what the user asks for, are by colours alone.
    by_basis = problem.pattern is None or problem.options.sparsity == "auto"
    by_basis = by_basis and problem.options.layout not in SPARSE
    for composition in compositions:
        policies = sample_policies(problem, composition.capabilities)
        if coupled and problem.batch_size is not None:
            policies = (SamplePolicy.COUPLED_ROWS,)
        strategy, gradient = composition.strategy, composition.gradient
        if policies and (by_basis or coupled):
            groups.append(tuple(Method(strategy, gradient, p) for p in policies))
        if not coupled and _colors_pay(problem, composition):
            apart = [p for p in policies if p is not SamplePolicy.COUPLED_ROWS]
            colored = (Method(strategy, gradient, p, seeding=COLORS) for p in apart)
            groups.append(tuple(colored))
    groups = [group for group in groups if group]

    def price(group: tuple[Method, ...]) -> tuple[bool, float]:
        return group[0].capabilities.captures, predicted_cost(problem, group[0])

    for group in sorted(groups, key=price):
        yield from group


def _colors_pay(problem: Problem, composition: Composition) -> bool:
    """Tell whether there is a pattern, of fewer colours than rows or columns."""
    mode = composition.capabilities.mode
    if problem.pattern is None or mode not in {"jvp", "vjp"}:
        return False
    if problem.options.layout in SPARSE or problem.options.sparsity != "auto":
        return True
    count = problem.column_count if mode == "jvp" else problem.row_count
    return coloring_for(problem, mode).count + 1 < count


def by_composition(methods: Iterator[Method]) -> Iterator[tuple[Method, ...]]:
    """Group methods that follow each other and differ in their sample policy only."""
    for _, group in groupby(methods, key=lambda method: (method.name, method.seeding)):
        yield tuple(group)


def predicted_cost(problem: Problem, method: Method) -> float:
    """Predict the cost of one Jacobian, in forward passes on one direction."""
    if method.other is not None:
        return sum(predicted_cost(problem, side) for side in method.sides)
    directions = method.directions(problem)
    if method.capabilities.mode == "direct":
        directions = min(problem.row_count, problem.column_count)
    blocks = sum(1 for _ in balanced(directions, method.block_size))
    passes = method.composition.passes(blocks)
    launched = passes.forward + passes.backward
    replays = max(1, launched // max(1, blocks))
    able = method.capabilities
    arithmetic = ARITHMETIC[able.mode]
    if able.per_sample_shared:
        arithmetic = WITHOUT_WEIGHT_GRADIENTS
    if able.mode == "jvp" and not able.records_graph:
        launched += round((DUAL - 1) * passes.forward)
    cost = LAUNCH * launched + directions * arithmetic * replays
    if method.gradient is GradientMode.JVP:
        cost *= max(1, problem.column_count)
    if method.sample_policy is SamplePolicy.EXPAND_SHARED:
        cost *= EXPANDED
    if method.sample_policy is SamplePolicy.SAMPLE_LOOP:
        cost *= problem.sample_count
    return cost
