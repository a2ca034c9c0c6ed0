"""Nested containers of tensors: flattened and unflattened.

PyTorch's own pytrees, and plain `@dataclass` instances on top, which PyTorch takes
for leaves unless the user registers them.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from jacengine._torch_private import pytree


@dataclass(frozen=True)
class DataclassSpec:
    """A dataclass instance inside a tree: an emptied template and its fields."""

    template: Any = dataclasses.field(compare=False, repr=False)
    kind: type[Any]
    fields: Structure

    def rebuild(self, leaves: Sequence[Any]) -> Any:
        """Return a copy of the template with these leaves in its fields."""
        instance = copy.copy(self.template)
        for name, value in self.fields.unflatten(leaves).items():
            object.__setattr__(instance, name, value)
        return instance


@dataclass(frozen=True)
class Structure:
    """How a flat list of leaves nests.

    Attributes:
        spec: The pytree, with dataclass instances as leaves.
        records: Those instances, by leaf.
        call_of_tensors: A call with one tensor an argument, which is what most calls
            are and is unflattened at once.
    """

    spec: pytree.TreeSpec
    records: tuple[DataclassSpec | None, ...]
    call_of_tensors: bool = dataclasses.field(default=False, compare=False)

    @property
    def count(self) -> int:
        """The number of leaves."""
        return sum(1 if r is None else r.fields.count for r in self.records)

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """Nest the leaves again.

        Args:
            leaves: As many as `count`, in the order of `flatten`.

        Returns:
            The tree.
        """
        if self is LEAF:
            return leaves[0]
        if self.call_of_tensors:
            return tuple(leaves), {}
        outer: list[Any] = []
        position = 0
        for record in self.records:
            size = 1 if record is None else record.fields.count
            taken = leaves[position : position + size]
            outer.append(taken[0] if record is None else record.rebuild(taken))
            position += size
        return pytree.tree_unflatten(outer, self.spec)


LEAF = Structure(pytree.tree_flatten(0)[1], (None,))
"""A single tensor."""


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """Flatten a tree, looking into plain dataclass instances too."""
    if isinstance(tree, Tensor):
        return [tree], LEAF
    outer, spec = pytree.tree_flatten(tree)
    leaves: list[Any] = []
    records: list[DataclassSpec | None] = []
    for leaf in outer:
        if dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
            values = {f.name: getattr(leaf, f.name) for f in dataclasses.fields(leaf)}
            inner, fields = flatten(values)
            leaves += inner
            emptied = copy.copy(leaf)
            for name in values:
                object.__setattr__(emptied, name, None)
            records.append(DataclassSpec(emptied, type(leaf), fields))
        else:
            leaves.append(leaf)
            records.append(None)
    return leaves, Structure(spec, tuple(records))


def flatten_call(
    args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[list[Any], Structure]:
    """Flatten the arguments of a call, as `flatten((args, kwargs))` does."""
    if not kwargs and all(isinstance(argument, Tensor) for argument in args):
        return list(args), _call_of_tensors(len(args))
    return flatten((args, dict(kwargs)))


@functools.cache
def _call_of_tensors(count: int) -> Structure:
    spec = pytree.tree_flatten(((0,) * count, {}))[1]
    return Structure(spec, (None,) * count, call_of_tensors=True)


def paths(tree: Any) -> list[str]:
    """Name each leaf by how it is reached, as `['x'][0].y`, in order of `flatten`."""
    names: list[str] = []
    for path, leaf in pytree.tree_flatten_with_path(tree)[0]:
        name = pytree.keystr(path)
        if dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
            for f in dataclasses.fields(leaf):
                inner = paths(getattr(leaf, f.name))
                names += [f"{name}.{f.name}{rest}" for rest in inner]
        else:
            names.append(name)
    return names
