"""What is to be computed: of which function, by what, and what one look showed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from jacengine import pytrees
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.bound_function import BoundFunction, bind
from jacengine.problem.call_spec import CallSpec, TensorSpec, Wrt
from jacengine.problem.gradient import GradientMode
from jacengine.problem.quantity import PARTS, SECOND_ORDER, TITLES, Part, Quantity

Selection = Tensor | slice | None
Randomness = Literal["error", "same", "different"]
LayoutOption = Literal["dict", "flat"]
"""How inputs stand in a result: nested as they are, or side by side in one axis."""


@dataclass(frozen=True)
class Options:
    """The options of a call that decide what the result is.

    Attributes:
        wrt: What to differentiate.
        batch_dim: Where samples lie, if they are independent.
        create_graph: Whether the result can be differentiated again.
        rows: Which output entries, `None` for all.
        columns: Which input entries, `None` for all.
        has_aux: Whether the function returns `(out, aux)`.
        randomness: What to do about a function that draws random numbers.
        layout: How the inputs stand in the result.
        quantity: What is computed of the function.
    """

    wrt: Wrt = 0
    batch_dim: BatchDim = None
    create_graph: bool = False
    rows: Selection = None
    columns: Selection = None
    has_aux: bool = False
    randomness: Randomness = "error"
    layout: LayoutOption = "dict"
    quantity: Quantity = "jacobian"


@dataclass(frozen=True)
class Problem:
    """What every strategy may know of what is asked for.

    A second-order problem is a Jacobian too, of the function's gradient: its `outputs`
    are the gradient, one for each of the `values` and each input.

    Attributes:
        fn: The user's function or module.
        options: What was asked for.
        layout: The inputs, and how the call is laid out.
        values: What the function returns (of one sample).
        value_structure: How that nests.
        outputs: What is differentiated by the inputs: the values, or their gradient.
        rows: The chosen output entries over all outputs flattened; `None` for all.
        columns: The chosen input entries over all inputs flattened; `None` for all.
        stochastic: Whether the function draws random numbers.
        stateful: The buffers that a call writes.
        coupled: Whether a sample's output depends on other samples.
        forward_bytes: What one recorded forward pass allocates.
        modules: The modules that the function can be seen to use.
    """

    fn: Callable[..., Any]
    options: Options
    layout: CallSpec
    values: tuple[TensorSpec, ...]
    value_structure: pytrees.Structure
    outputs: tuple[TensorSpec, ...]
    rows: Tensor | None
    columns: Tensor | None
    stochastic: bool
    stateful: tuple[tuple[nn.Module, str], ...]
    coupled: bool
    forward_bytes: int
    modules: tuple[nn.Module, ...]

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs, in order (of one sample where they are batched)."""
        return self.layout.inputs

    @property
    def part(self) -> Part:
        """Which part of the Jacobian of `outputs` is wanted."""
        return PARTS[self.options.quantity]

    @property
    def title(self) -> str:
        """What it is called in messages."""
        return TITLES[self.options.quantity]

    @property
    def inner(self) -> GradientMode | None:
        """How the gradient is computed unless a method says otherwise, if it is."""
        return GradientMode.GRAD if self.options.quantity in SECOND_ORDER else None

    @property
    def batch_size(self) -> int | None:
        """The number of independent samples, `None` without `batch_dim`."""
        return self.layout.batch_size

    @functools.cached_property
    def sample_count(self) -> int:
        """The number of samples; without `batch_dim` the one point there is."""
        return 1 if self.layout.batch_size is None else self.layout.batch_size

    @functools.cached_property
    def shares(self) -> bool:
        """Whether samples share an input."""
        return self.layout.shared

    @functools.cached_property
    def changes_state(self) -> bool:
        """Whether a call draws random numbers or writes buffers."""
        return self.stochastic or bool(self.stateful)

    @functools.cached_property
    def joined(self) -> bool:
        """Whether all inputs stand side by side in one axis of the result."""
        return self.columns is not None or self.options.layout == "flat"

    @functools.cached_property
    def module(self) -> nn.Module | None:
        """The module whose parameters are differentiated, if they are."""
        return self.fn if self.layout.names and isinstance(self.fn, nn.Module) else None

    @functools.cached_property
    def row_count(self) -> int:
        """How many output entries (of one sample) are asked for."""
        if self.rows is not None:
            return self.rows.numel()
        return sum(leaf.size for leaf in self.outputs)

    @functools.cached_property
    def output_count(self) -> int:
        """How many outputs (of one sample) it is about, for messages."""
        if self.inner is None:
            return self.row_count
        return sum(leaf.size for leaf in self.values)

    @functools.cached_property
    def column_count(self) -> int:
        """How many input entries are asked for."""
        if self.columns is not None:
            return self.columns.numel()
        return sum(leaf.size for leaf in self.inputs)

    @functools.cached_property
    def result_bytes(self) -> int:
        """The size of the result."""
        entries = self.row_count * self.column_count * self.sample_count
        if self.part != "whole":
            values = sum(leaf.size for leaf in self.values) * self.sample_count
            entries = values * (self.column_count if self.part == "diagonal" else 1)
        widest = max(leaf.dtype.itemsize for leaf in self.outputs)
        return entries * widest

    @functools.cached_property
    def devices(self) -> tuple[torch.device, ...]:
        """The accelerators in play, whose random state is guarded."""
        leaves = (*self.inputs, *self.outputs)
        return tuple({leaf.device for leaf in leaves if leaf.device.type == "cuda"})

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> BoundFunction:
        """Bind arguments of this signature."""
        return self.bound(pytrees.flatten_call(args, kwargs)[0])

    def bound(self, leaves: Sequence[Any]) -> BoundFunction:
        """Bind arguments of this signature that are flattened already."""
        return bind(
            self.fn,
            self.layout,
            leaves,
            has_aux=self.options.has_aux,
            deterministic=not self.stochastic,
            inner=self.inner,
            joined=self.options.layout == "flat",
        )
