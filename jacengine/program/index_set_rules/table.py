"""The table of rules, and what the rules of several families use."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from torch import Tensor
from torch.fx import Node

from jacengine.program.index_sets import Rule, Sets, gather, merge, numbers
from jacengine.program.operators import aten

RULES: dict[Any, Rule] = {}
"""The rules by operator of ATen."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for operators, named as `sum.dim_IntList`."""

    def register(found: Rule) -> Rule:
        for name in names:
            packet, overload = name.split(".")
            RULES[getattr(getattr(aten, packet), overload)] = found
        return found

    return register


def args_of(node: Node) -> list[Any]:
    """Return the positional arguments of an operator."""
    return list(node.args)


def argument(node: Node, name: str, default: Any = None) -> Any:
    """Return an argument of an operator by its name in the schema."""
    target: Any = node.target
    names = [argument.name for argument in target._schema.arguments]
    given = dict(zip(names, node.args, strict=False)) | node.kwargs
    return given.get(name, default)


def groups(shape: Sequence[int], axes: Sequence[int]) -> Tensor:
    """Give entries that differ along these axes only the same number."""
    kept = [1 if axis in axes else size for axis, size in enumerate(shape)]
    return numbers(kept).expand(tuple(shape))


def merged(sets: Sets, shape: Sequence[int], axes: Sequence[int]) -> Sets:
    """Join what the entries along some axes depend on."""
    kept = (size for axis, size in enumerate(shape) if axis not in axes)
    return merge(sets, groups(shape, axes), math.prod(kept))


def mixed(sets: Sets, shape: Sequence[int], axes: Sequence[int]) -> Sets:
    """Let every entry depend on all along some axes."""
    return gather(merged(sets, shape, axes), groups(shape, axes))


def kron(*factors: Any) -> Any:
    """Return the Kronecker product of patterns."""
    found = sparse.csr_array(np.ones((1, 1), dtype=bool))
    for factor in factors:
        found = sparse.kron(found, factor, format="csr").astype(bool)
    return found


def listed(given: Any) -> list[int]:
    """Return one or several numbers as a list."""
    return [given] if isinstance(given, int) else list(given)
