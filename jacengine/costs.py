"""What a method should cost, from facts alone: an order to try candidates in.

Counted in forward passes on one direction. It only decides who is tried first and what
`effort="none"` takes; measurements decide everything else.
"""

from __future__ import annotations

from jacengine.batching import Batching
from jacengine.interface import Contraction, Pushforward
from jacengine.method import Method
from jacengine.problem import Problem
from jacengine.seeding import balanced

LAUNCH = 20.0
"""A pass costs this many directions before it computes anything."""
PER_DIRECTION = {Pushforward: 1.5, Contraction: 0.8}
"""Arithmetic of one direction; a pullback computes weight gradients too: 2."""
EXPANDED = 1.5
"""Copies of shared inputs turn matrix products into batched ones."""


def predicted_cost(problem: Problem, method: Method | None) -> float:
    """Predict the cost of one Jacobian, in arbitrary units."""
    if method is None:
        return float("inf")
    directions = method.directions(problem)
    blocks = sum(1 for _ in balanced(directions, method.block_size))
    passes = method.strategy.passes(blocks)
    each = next(
        (cost for kind, cost in PER_DIRECTION.items() if isinstance(method.strategy, kind)),
        2.0,
    )
    extra = (passes.forward + passes.backward - blocks) / max(1, blocks)
    cost = LAUNCH * (passes.forward + passes.backward) + directions * (each + min(extra, 2))
    if method.batching is Batching.EXPANDED:
        cost *= EXPANDED
    if method.batching is Batching.LOOP:
        cost *= problem.sample_count
    return cost
