"""A strategy brought to the points of a problem, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from jacengine._torchfunc import Function, Tensors
from jacengine.execution.method import Method
from jacengine.interface import (
    Action,
    Contraction,
    Curvature,
    Point,
    Pullback,
    Pushforward,
    Strategy,
)
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.seeding import samples as sample_policies


def points(
    problem: Problem, bound: BoundFunction, method: Method
) -> Iterator[tuple[Point, slice]]:
    """Yield where a method linearizes, and which samples of the result that gives."""
    return sample_policies.points(
        problem, bound, method.strategy, method.sample_policy, method.samples
    )


def linearized(strategy: Strategy, point: Point) -> Action:
    """Linearize at a point.

    Raises:
        TypeError: It is none of the kinds of strategies.
    """
    if not isinstance(strategy, Pushforward | Pullback | Contraction | Curvature):
        raise TypeError(f"{strategy!r} can neither push nor pull")
    if point.over_samples is not None:
        return _inside(strategy, point, point.over_samples)
    return strategy.linearize(point)


def _inside(
    strategy: Strategy, point: Point, over_samples: Callable[..., Tensors]
) -> Action:
    """Linearize each sample inside vmap, where shared inputs need no copies.

    The forward pass is run again for every block of directions.
    """

    def of_one(function: Function, primals: Tensors, seeds: Tensors) -> Tensors:
        one = Point(function, function, primals, create_graph=point.create_graph)
        return linearized(strategy, one)(seeds)

    def action(seeds: Tensors) -> Tensors:
        products = over_samples(of_one, point.primals, seeds)
        return tuple(product.transpose(0, 1) for product in products)

    return action
