"""Nested containers of tensors: flattened, and put together again.

PyTorch's own pytrees, and plain `@dataclass` instances on top, which PyTorch takes
for leaves unless the user registers them.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils import _pytree as pytree


@dataclass(frozen=True)
class Record:
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
    """How a flat list of leaves nests."""

    spec: pytree.TreeSpec
    records: tuple[Record | None, ...]

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
        outer: list[Any] = []
        position = 0
        for record in self.records:
            size = 1 if record is None else record.fields.count
            taken = leaves[position : position + size]
            outer.append(taken[0] if record is None else record.rebuild(taken))
            position += size
        return pytree.tree_unflatten(outer, self.spec)


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """Flatten a tree, looking into plain dataclass instances too."""
    outer, spec = pytree.tree_flatten(tree)
    leaves: list[Any] = []
    records: list[Record | None] = []
    for leaf in outer:
        if dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
            values = {f.name: getattr(leaf, f.name) for f in dataclasses.fields(leaf)}
            inner, fields = flatten(values)
            leaves += inner
            emptied = copy.copy(leaf)
            for name in values:
                object.__setattr__(emptied, name, None)
            records.append(Record(emptied, type(leaf), fields))
        else:
            leaves.append(leaf)
            records.append(None)
    return leaves, Structure(spec, tuple(records))


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


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """Apply a function to every leaf."""
    leaves, structure = flatten(tree)
    return structure.unflatten([function(leaf) for leaf in leaves])
