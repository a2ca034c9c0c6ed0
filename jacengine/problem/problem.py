"""What is to be computed, and what one evaluation of the function showed."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from jacengine import pytrees
from jacengine.patterns.pattern import Pattern
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.bound_function import BoundFunction, ExpectedOutputs, bind
from jacengine.problem.call_spec import CallSpec, TensorSpec, Wrt
from jacengine.problem.callee import Callee
from jacengine.problem.gradient import GradientMode
from jacengine.problem.quantity import PARTS, SECOND_ORDER, TITLES, Part, Quantity
from jacengine.problem.side_effects import preserve_side_effects

Entries = Tensor | slice | None
"""Chosen entries of the flattened outputs (`rows=`) or inputs (`columns=`)."""
Randomness = Literal["error", "same", "different"]
LayoutOption = Literal["dict", "flat", "coo", "csr", "values"]
"""How a result is laid out: inputs nested, or joined along one axis; or as one sparse
matrix of all outputs by all inputs, or as its nonzero values alone."""
SPARSE: frozenset[LayoutOption] = frozenset({"coo", "csr", "values"})
"""Layouts that have no zeros but those of the pattern."""
SparsityOption = Literal["auto", "detect"] | Pattern | None
"""Whether to use sparsity: where it pays, always, this pattern, or not."""
ComplexOption = Literal["as_real", "holomorphic"] | None
"""How complex tensors are differentiated: as pairs of real numbers, or by the complex
derivative of a holomorphic function; `None`: they are refused."""
Triangle = Literal["lower"] | None
"""Which triangle of a symmetric matrix a sparse result holds; `None`: both."""


PLAIN = frozenset({int, str, bool, type(None)})
"""Types of options that are compared as such."""


@dataclass(frozen=True)
class Options:
    """The options of a call that decide what the result is.

    Attributes:
        wrt: What to differentiate.
        batch_dim: The sample axes, if samples are independent.
        create_graph: Whether the result can be differentiated again.
        rows: Which output entries, `None` for all.
        columns: Which input entries, `None` for all.
        has_aux: Whether the function returns `(out, aux)`.
        randomness: What to do about a function that draws random numbers.
        layout: How the result is laid out.
        quantity: What is computed of the function.
        sparsity: Whether to use sparsity, or the pattern.
        verify: Whether one random direction goes with the colours of a pattern.
        triangle: Which triangle of a sparse Hessian is returned.
        complex: How complex tensors are differentiated.
        with_value: Whether what the function returns is returned too.
    """

    wrt: Wrt = 0
    batch_dim: BatchDim = None
    create_graph: bool = False
    rows: Entries = None
    columns: Entries = None
    has_aux: bool = False
    randomness: Randomness = "error"
    layout: LayoutOption = "dict"
    quantity: Quantity = "jacobian"
    sparsity: SparsityOption = "auto"
    verify: bool = True
    triangle: Triangle = None
    complex: ComplexOption = None
    with_value: bool = False

    @property
    def joined(self) -> bool:
        """Whether all inputs are joined along one axis of the result."""
        return self.layout != "dict"

    @property
    def key(self) -> tuple[Hashable, ...]:
        """The options in hashable terms, the same for equal ones."""
        values = tuple(vars(self).values())
        kinds = tuple(map(type, values))
        if not PLAIN.issuperset(kinds):
            values = tuple(map(_hashable, values))
        return (*values, *kinds)  # 0 and False are equal


def _hashable(value: Any) -> Hashable:
    if isinstance(value, list):
        return ("list", *value)
    if isinstance(value, Tensor):
        return ("tensor", value.shape, *value.flatten().tolist())
    if isinstance(value, slice):
        return ("slice", value.start, value.stop, value.step)
    return value if type(value) in PLAIN else repr(value)


@dataclass(frozen=True)
class Problem:
    """What is to be computed; everything that a strategy may know.

    A second-order problem is a Jacobian too, of the function's gradient: its `outputs`
    are the gradient, one for each of the `values` and each input.

    Attributes:
        options: The options of the call.
        call_spec: The inputs, and the structure of the call.
        returned: What the function returns (of one sample).
        returned_structure: How that nests.
        values: What has a result each: what the function returns; of a diagonal or a
            divergence, a potential that the function is the gradient of, in shape.
        value_structure: How those nest.
        outputs: What is differentiated by the inputs: what the function returns, or its
            gradient.
        rows: The chosen output entries over all outputs flattened; `None` for all.
        columns: The chosen input entries over all inputs flattened; `None` for all.
        stochastic: Whether the function draws random numbers.
        written: Which of the function's buffers a call writes, by place.
        writes_attributes: Whether a call changes attributes of modules or objects, or
            draws from random generators of the user's.
        coupled: Whether a sample's output depends on other samples.
        forward_bytes: What one recorded forward pass allocates.
        held_bytes: The size of the tensors that the function refers to. Weights of
            torch's own layers are left out: passes do not expand them.
        pattern: Where the matrix (of one sample) may be other than zero, if known.
        colors: How many colours of the pattern are computed, for a trial; `None`: all.
        looks_sparse: Whether a few rows are sparse, and the pattern is not known since
            to find it would take longer than to do without.
    """

    options: Options
    call_spec: CallSpec
    returned: tuple[TensorSpec, ...]
    returned_structure: pytrees.Structure
    values: tuple[TensorSpec, ...]
    value_structure: pytrees.Structure
    outputs: tuple[TensorSpec, ...]
    rows: Tensor | None
    columns: Tensor | None
    stochastic: bool
    written: tuple[int, ...]
    writes_attributes: bool
    coupled: bool
    forward_bytes: int
    held_bytes: int
    pattern: Pattern | None = None
    colors: int | None = None
    looks_sparse: bool = False

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs, in order (of one sample where they are batched)."""
        return self.call_spec.inputs

    @property
    def part(self) -> Part:
        """Which part of the Jacobian of `outputs` is to be computed."""
        return PARTS[self.options.quantity]

    @property
    def title(self) -> str:
        """What it is called in messages."""
        return TITLES[self.options.quantity]

    @property
    def gradient(self) -> GradientMode | None:
        """How the gradient is computed by default; `None` for a Jacobian."""
        return GradientMode.GRAD if self.options.quantity in SECOND_ORDER else None

    @property
    def batch_size(self) -> int | None:
        """The number of independent samples, `None` without `batch_dim`."""
        return self.call_spec.batch_size

    @functools.cached_property
    def sample_count(self) -> int:
        """The number of samples; without `batch_dim` the one point there is."""
        return 1 if self.call_spec.batch_size is None else self.call_spec.batch_size

    @functools.cached_property
    def shares(self) -> bool:
        """Whether samples share an input."""
        return self.call_spec.shared

    @functools.cached_property
    def changes_state(self) -> bool:
        """Whether a call draws random numbers or writes buffers or attributes."""
        return self.stochastic or bool(self.written) or self.writes_attributes

    def preserve_side_effects(
        self, callee: Callee, *, trusted: bool = True
    ) -> preserve_side_effects:
        """Return the context that puts back whatever a call of a function changes.

        What is not trusted may draw random numbers that the function does not.
        """
        references = callee.refer_now() if self.writes_attributes else None
        devices = self.devices if self.stochastic or not trusted else None
        written = callee.buffers_at(self.written)
        return preserve_side_effects(devices, written, references)

    @functools.cached_property
    def joined(self) -> bool:
        """Whether all inputs are joined along one axis of the result."""
        return self.columns is not None or self.options.joined

    @functools.cached_property
    def one_by_one(self) -> bool:
        """Whether the function returns a tensor, and the input is another."""
        leaf = pytrees.LEAF
        return self.value_structure is leaf and self.call_spec.nesting is leaf

    @functools.cached_property
    def row_count(self) -> int:
        """How many output entries (of one sample) are to be computed."""
        if self.rows is not None:
            return self.rows.numel()
        return sum(leaf.size for leaf in self.outputs)

    @functools.cached_property
    def output_count(self) -> int:
        """How many outputs (of one sample) there are, for messages."""
        if self.gradient is None:
            return self.row_count
        return sum(leaf.size for leaf in self.values)

    @functools.cached_property
    def column_count(self) -> int:
        """How many input entries are to be computed."""
        if self.columns is not None:
            return self.columns.numel()
        return sum(leaf.size for leaf in self.inputs)

    @property
    def stored_pattern(self) -> Pattern | None:
        """The entries that a sparse result holds: all of the pattern, or a triangle."""
        if self.options.triangle is None or self.pattern is None:
            return self.pattern
        return self.pattern.lower_triangle

    @functools.cached_property
    def result_bytes(self) -> int:
        """The size of the result."""
        entries = self.row_count * self.column_count * self.sample_count
        if self.options.layout in SPARSE and self.stored_pattern is not None:
            entries = self.stored_pattern.nnz * self.sample_count
        if self.part != "whole":
            values = sum(leaf.size for leaf in self.values) * self.sample_count
            entries = values * (self.column_count if self.part == "diagonal" else 1)
        widest = max(leaf.dtype.itemsize for leaf in self.outputs)
        return entries * widest

    @functools.cached_property
    def devices(self) -> tuple[torch.device, ...]:
        """The accelerators that are involved, whose random state is preserved."""
        leaves = (*self.inputs, *self.outputs)
        return tuple({leaf.device for leaf in leaves if leaf.device.type == "cuda"})

    @functools.cached_property
    def _expected(self) -> ExpectedOutputs:
        specs = ((torch.Size(spec.shape), spec.dtype) for spec in self.returned)
        return ExpectedOutputs(self.returned_structure, tuple(specs))

    def bind(self, callee: Callee, leaves: Sequence[Any]) -> BoundFunction:
        """Bind a function, and flattened arguments of this signature."""
        return bind(
            callee,
            self.call_spec,
            leaves,
            has_aux=self.options.has_aux,
            gradient=self.gradient,
            joined=self.options.joined,
            expected=self._expected,
        )
