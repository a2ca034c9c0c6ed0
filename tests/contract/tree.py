"""Nested containers of tensors: the few operations the contract suite needs.

Containers are dicts (in insertion order), lists, tuples, named tuples and instances
of any dataclass, registered with PyTorch or not. Everything else is a leaf.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeGuard

import torch
from torch import Tensor

PyTree: TypeAlias = Any


def tree_map(fn: Callable[[Any], PyTree], tree: PyTree) -> PyTree:
    """Return a tree of the same structure with `fn` applied to every leaf."""
    if isinstance(tree, dict):
        mapping = tree.copy()
        for key, child in mapping.items():
            mapping[key] = tree_map(fn, child)
        return mapping
    if isinstance(tree, list):
        return [tree_map(fn, child) for child in tree]
    if isinstance(tree, tuple):
        mapped = [tree_map(fn, child) for child in tree]
        return type(tree)(*mapped) if hasattr(tree, "_fields") else tuple(mapped)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        clone = copy.copy(tree)
        for entry in dataclasses.fields(clone):
            child = tree_map(fn, getattr(clone, entry.name))
            object.__setattr__(clone, entry.name, child)
        return clone
    return fn(tree)


def leaves(tree: PyTree) -> list[Any]:
    """Return the leaves of a tree, in the order in which they are nested."""
    found: list[Any] = []
    tree_map(found.append, tree)
    return found


def fill(tree: PyTree, values: Iterable[PyTree]) -> PyTree:
    """Return a tree of the same structure with `values` in place of its leaves."""
    remaining = iter(values)
    return tree_map(lambda _: next(remaining), tree)


def is_float(leaf: object) -> TypeGuard[Tensor]:
    """Say whether a leaf is a floating-point tensor, so that it can be varied."""
    return isinstance(leaf, Tensor) and torch.is_floating_point(leaf)


def float_leaves(tree: PyTree) -> list[Tensor]:
    """Return the floating-point tensors among the leaves of a tree."""
    return [leaf for leaf in leaves(tree) if is_float(leaf)]
