"""Nested containers of tensors: flattened and unflattened.

PyTorch's own pytrees, and plain `@dataclass` instances and the mappings of the standard
library on top, which PyTorch takes for leaves unless the user registers them.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections import ChainMap, UserDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor

from jacengine._torch_private import pytree


@dataclass(frozen=True)
class RecordSpec:
    """A dataclass instance or a mapping inside a tree: its type and its fields."""

    template: Any = dataclasses.field(compare=False, repr=False)
    kind: type[Any]
    fields: Structure

    def rebuild(self, leaves: Sequence[Any]) -> Any:
        """Return an object of the type with these leaves in its fields."""
        values = self.fields.unflatten(leaves)
        if issubclass(self.kind, MappingProxyType | ChainMap):
            return self.kind(values)
        instance = copy.copy(self.template)
        if issubclass(self.kind, UserDict):
            instance.data = values
            return instance
        for name, value in values.items():
            object.__setattr__(instance, name, value)
        return instance


def _fields_of(leaf: Any) -> dict[Any, Any] | None:
    """Return what an instance of a dataclass, or a mapping, holds.

    A field that is `None` belongs to the structure, as an absent one.
    """
    if isinstance(leaf, UserDict | MappingProxyType | ChainMap):
        return dict(leaf)
    if dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
        fields = {f.name: getattr(leaf, f.name) for f in dataclasses.fields(leaf)}
        return {name: value for name, value in fields.items() if value is not None}
    return None


def _emptied(leaf: Any, names: Iterable[str]) -> Any:
    """Copy an instance without what it holds."""
    if isinstance(leaf, MappingProxyType | ChainMap):
        return None
    empty = copy.copy(leaf)
    if isinstance(leaf, UserDict):
        empty.data = {}
        return empty
    for name in names:
        object.__setattr__(empty, name, None)
    return empty


@dataclass(frozen=True)
class Structure:
    """How a flat list of leaves nests.

    Attributes:
        spec: The pytree, with dataclass instances and mappings as leaves.
        records: Those instances, by leaf.
        call_of_tensors: A call with one tensor an argument, which is what most calls
            are and is unflattened at once.
    """

    spec: pytree.TreeSpec
    records: tuple[RecordSpec | None, ...]
    call_of_tensors: bool = dataclasses.field(default=False, compare=False)

    @functools.cached_property
    def key(self) -> str:
        """The nesting as text, the same for equal ones."""
        return f"{self.spec} {self.records}" if any(self.records) else str(self.spec)

    @property
    def count(self) -> int:
        """The number of leaves."""
        return sum(1 if r is None else r.fields.count for r in self.records)

    @functools.cached_property
    def _is_flat_tuple(self) -> bool:
        flat = pytree.tree_flatten((0,) * len(self.records))[1]
        return not any(self.records) and self.spec == flat

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
        if self._is_flat_tuple:
            return tuple(leaves)
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
    """Flatten a tree, looking into plain dataclass instances and mappings too."""
    if isinstance(tree, Tensor):
        return [tree], LEAF
    outer, spec = pytree.tree_flatten(tree)
    leaves: list[Any] = []
    records: list[RecordSpec | None] = []
    for leaf in outer:
        values = _fields_of(leaf)
        if values is not None:
            inner, fields = flatten(values)
            leaves += inner
            records.append(RecordSpec(_emptied(leaf, values), type(leaf), fields))
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
        values = _fields_of(leaf)
        if values is not None:
            item = "{}.{}" if dataclasses.is_dataclass(leaf) else "{}[{!r}]"
            for field, value in values.items():
                names += [item.format(name, field) + rest for rest in paths(value)]
        else:
            names.append(name)
    return names
