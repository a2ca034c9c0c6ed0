"""Second derivatives by a strategy: it differentiates a gradient.

Forward over reverse, reverse over reverse, forward over forward and reverse over
forward are pairs of what the engine has already: a strategy, and the way in which the
gradient is computed that it is applied to (`problems.gradient`). Every strategy that
pushes or pulls makes one second-order method for each way it should be tried on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from jacengine.interface import (
    Action,
    Passes,
    Point,
    Pullback,
    Pushforward,
    Strategy,
    Unsupported,
)
from jacengine.problem.gradient import GradientMode
from jacengine.problem.problem import Problem
from jacengine.problem.quantity import SECOND_ORDER, Quantity

WORDS = {
    GradientMode.GRAD: "of a recorded reverse pass",
    GradientMode.VJP: "of torch.func.vjp",
    GradientMode.JVP: "of torch.func.jvp under vmap",
}
"""How tables name the gradient that is differentiated."""
TAKEN_OVER = ("source", "single", "records_graph", "trusted", "thread_safe", "composes")
"""What holds of a second-order method because it holds of its strategy."""


@dataclass(frozen=True)
class OfGradient(Strategy):
    """A strategy that is given a gradient to differentiate.

    Attributes:
        outer: The strategy.
    """

    outer: Pushforward | Pullback
    quantities: ClassVar[frozenset[Quantity]] = SECOND_ORDER
    gradients: ClassVar[tuple[GradientMode, ...]] = ()

    def check(self, problem: Problem) -> Unsupported | None:
        """Ask the strategy."""
        return self.outer.check(problem)

    def passes(self, blocks: int) -> Passes:
        """Count a gradient as a forward and, unless by `jvp`, a backward pass."""
        outer = self.outer.passes(blocks)
        if self.inner is GradientMode.JVP:
            return outer
        return Passes(outer.forward, outer.forward + 2 * outer.backward)

    def linearize(self, point: Point) -> Action:
        """Linearize the gradient, which the point's function is."""
        return self.outer.linearize(point)


class PushedGradient(OfGradient, Pushforward):
    """Forward mode over a gradient."""


class PulledGradient(OfGradient, Pullback):
    """Reverse mode over a gradient."""


def nested(strategy: Strategy) -> Iterator[Strategy]:
    """Yield the second-order methods that a strategy makes."""
    if not isinstance(strategy, Pushforward | Pullback):
        return
    kind = PushedGradient if isinstance(strategy, Pushforward) else PulledGradient
    for way in strategy.gradients:
        attributes: dict[str, Any] = {
            **{name: getattr(strategy, name) for name in TAKEN_OVER},
            "name": f"{strategy.name}_over_{way}",
            "method": f"{strategy.method}, {WORDS[way]}",
            "wins": "second derivatives",
            "inner": way,
        }
        # A class each, since what tables say of a strategy belongs to its class.
        made = type(f"{type(strategy).__name__}Over{way.title()}", (kind,), attributes)
        yield cast("type[OfGradient]", made)(strategy)
