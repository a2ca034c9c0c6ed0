"""A strategy brought to the points of a problem, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from jacengine._torchfunc import Function, Tensors
from jacengine.interface import (
    Action,
    Contraction,
    Curvature,
    Point,
    Pullback,
    Pushforward,
    Strategy,
)
from jacengine.problems.call import Call
from jacengine.problems.problem import Problem
from jacengine.products import batching
from jacengine.products.method import Method


def points(
    problem: Problem, call: Call, method: Method
) -> Iterator[tuple[Point, slice]]:
    """Yield where a method linearizes, and which samples of the result that gives."""
    return batching.points(
        problem, call, method.strategy, method.batching, method.samples
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
