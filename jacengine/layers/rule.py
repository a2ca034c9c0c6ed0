"""Rules of layers, and their registry.

A layer's output is linear in each of its parameters, so the parameter's block of J is
one contraction of the layer's input with the cotangents of its output. The rule of a
class of layers has such contractions, as pure functions of tensors in one form:

    x [s n ...]     the layer's input: samples, positions, the layer's own axes
    g [s k n ...]   cotangents of its output: samples, directions, positions, own axes
    block [s k ...] the cotangents of one parameter; written into `out` where given
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from jacengine._torch_private import hooks_of
from jacengine.errors import ArgumentError, kind_of

BlockContraction = Callable[[Any, Tensor, Tensor, Tensor | None], Tensor]
"""From a layer, `x`, `g` and `out` to the block of one parameter."""

Factors = Callable[[Any, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From a layer, `x` and `g` to two tensors that the block follows from."""

OwnAxes = int | Callable[[Any, int], int]
"""The number of trailing axes of a tensor that belong to the layer; the others are
samples and positions. Or a function of the layer and the tensor's number of axes."""


@dataclass(frozen=True)
class Form:
    """The implementations of the contraction of one parameter.

    Attributes:
        implementations: Functions that all compute the block; the first is the
            default, and the fastest is found by measurement.
        factors: Returns two factors of the block, if it has them: see `linear.outer`.
        rows: Returns the rows of the parameter that positions add to, `(s, n)`, and
            what, `(s, k, n, e)`, if the block is nothing else.
    """

    implementations: tuple[BlockContraction, ...]
    factors: Factors | None = None
    rows: Factors | None = None

    @functools.cached_property
    def by_name(self) -> Mapping[str, BlockContraction]:
        """The implementations by the name of their function, numbered if repeated."""
        named: dict[str, BlockContraction] = {}
        for function in self.implementations:
            name = getattr(function, "__name__", type(function).__name__)
            named[f"{name}_{len(named)}" if name in named else name] = function
        return named


@dataclass(frozen=True)
class Rule:
    """The contractions of a class of layers.

    Attributes:
        parameters: The contraction of each parameter, by name.
        input_axes: The number of trailing axes of the input that belong to the layer.
        output_axes: The same for the output.
        applies: Whether the rule is valid for a layer as it is configured now.

    Examples:
        The rule of a layer that computes `scale * x`:

        >>> def scale(layer, x, g, out):
        ...     block = (g * x.unsqueeze(1)).sum(2)
        ...     return block if out is None else out.copy_(block)
        >>> rule = Rule({"scale": scale}, input_axes=1, output_axes=1)
    """

    parameters: Mapping[str, BlockContraction | Form]
    input_axes: OwnAxes
    output_axes: OwnAxes
    applies: Callable[[Any], bool] = lambda _: True

    def form(self, name: str) -> Form:
        """Return the contraction of a parameter."""
        found = self.parameters[name]
        return found if isinstance(found, Form) else Form((found,))

    def axes_in(self, layer: nn.Module, dim: int) -> int:
        """Count the layer's own axes of an input with `dim` axes."""
        own = self.input_axes
        return own if isinstance(own, int) else own(layer, dim)

    def axes_out(self, layer: nn.Module, dim: int) -> int:
        """Count the layer's own axes of an output with `dim` axes."""
        own = self.output_axes
        return own if isinstance(own, int) else own(layer, dim)


class RuleRegistry:
    """Rules by exact class of layer: a subclass may compute something else."""

    def __init__(self, rules: Mapping[type[nn.Module], Rule]) -> None:
        self._rules = dict(rules)

    @property
    def layers(self) -> tuple[type[nn.Module], ...]:
        """The classes that have a rule."""
        return tuple(self._rules)

    def register(self, layer: type[nn.Module], rule: Rule) -> None:
        """Add a rule, or replace one.

        Raises:
            ArgumentError: It is no rule, or no class of layers.
        """
        if not (inspect.isclass(layer) and issubclass(layer, nn.Module)):
            raise ArgumentError(
                f"Rules belong to classes of layers; expected a subclass of nn.Module, "
                f"got {layer!r}."
            )
        if not isinstance(rule, Rule):
            raise ArgumentError(
                f"The rule of {layer.__name__} is {kind_of(rule)}; expected a "
                "jacengine.Rule."
            )
        self._rules[layer] = rule

    def find(self, layer: nn.Module) -> Rule | None:
        """Find the rule of a layer as it is configured now.

        Layers with hooks of the user's have none: they no longer compute what the class
        does. Nor have parametrized ones, whose class is another.
        """
        rule = self._rules.get(type(layer))
        if rule is None or any(hooks_of(layer)) or not rule.applies(layer):
            return None
        return rule
