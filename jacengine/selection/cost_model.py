"""What a method should cost, from facts alone: the order in which candidates are tried.

Counted in forward passes on one direction. It only decides which candidate is tried
first and what `effort="none"` takes; measurements decide everything else.
"""

from __future__ import annotations

from jacengine.execution.method import Method
from jacengine.interface import Capabilities
from jacengine.problem.gradient import GradientMode
from jacengine.problem.problem import Problem
from jacengine.seeding.samples import SamplePolicy
from jacengine.task import balanced

LAUNCH = 20.0
"""A pass costs this many directions before it computes anything."""
ARITHMETIC = {"jvp": 1.5, "vjp": 2.0, "trace": 1.0}
"""Arithmetic of one direction, by mode; a VJP is of inputs and of weights ..."""
WITHOUT_WEIGHT_GRADIENTS = 0.8
"""... unless weight gradients are not formed."""
EXPANDED = 1.5
"""Expanded shared inputs turn matrix products into batched ones."""


def predicted_cost(problem: Problem, method: Method) -> float:
    """Predict the cost of one Jacobian, in forward passes on one direction."""
    directions = method.directions(problem)
    blocks = sum(1 for _ in balanced(directions, method.block_size))
    passes = method.composition.passes(blocks)
    launched = passes.forward + passes.backward
    replays = max(1, launched // max(1, blocks))
    cost = LAUNCH * launched + directions * _arithmetic(method.capabilities) * replays
    if method.gradient is GradientMode.JVP:
        cost *= max(1, problem.column_count)
    if method.sample_policy is SamplePolicy.EXPAND_SHARED:
        cost *= EXPANDED
    if method.sample_policy is SamplePolicy.SAMPLE_LOOP:
        cost *= problem.sample_count
    return cost


def _arithmetic(able: Capabilities) -> float:
    return WITHOUT_WEIGHT_GRADIENTS if able.per_sample_shared else ARITHMETIC[able.mode]
