"""What a method should cost, from facts alone: an order to try candidates in.

Counted in forward passes on one direction. It only decides who is tried first and what
`effort="none"` takes; measurements decide everything else.
"""

from __future__ import annotations

from jacengine.execution.method import Method
from jacengine.interface import Contraction, Curvature, Pushforward, Strategy
from jacengine.problem.gradient import GradientMode
from jacengine.problem.problem import Problem
from jacengine.seeding.basis import balanced
from jacengine.seeding.samples import SamplePolicy, choices

LAUNCH = 20.0
"""A pass costs this many directions before it computes anything."""
REVERSE = 2.0
"""Arithmetic of one direction pulled back: of inputs' and weights' cotangents ..."""
PER_DIRECTION = {Pushforward: 1.5, Contraction: 0.8, Curvature: 1.0}
"""... and of one pushed forward, or pulled back without forming weight gradients."""
EXPAND_SHARED = 1.5
"""Copies of shared inputs turn matrix products into batched ones."""


def expected_cost(problem: Problem, strategy: Strategy) -> float:
    """Predict the cost of a strategy's Jacobian, in one pass where it can."""
    kinds = choices(problem, strategy)
    if not kinds:  # it will decline
        return float("inf")
    return predicted_cost(problem, Method(strategy, kinds[0]))


def predicted_cost(problem: Problem, method: Method) -> float:
    """Predict the cost of one Jacobian, in forward passes on one direction."""
    directions = method.directions(problem)
    blocks = sum(1 for _ in balanced(directions, method.block_size))
    passes = method.strategy.passes(blocks)
    each = next(
        (c for kind, c in PER_DIRECTION.items() if isinstance(method.strategy, kind)),
        REVERSE,
    )
    replays = max(1, (passes.forward + passes.backward) // max(1, blocks))
    launched = passes.forward + passes.backward
    cost = LAUNCH * launched + directions * each * replays
    if method.strategy.inner is GradientMode.JVP:
        cost *= max(1, problem.column_count)
    if method.sample_policy is SamplePolicy.EXPAND_SHARED:
        cost *= EXPAND_SHARED
    if method.sample_policy is SamplePolicy.SAMPLE_LOOP:
        cost *= problem.sample_count
    return cost
