"""Patterns that a user gives, in any of the forms in which others hold them."""

from __future__ import annotations

from typing import Any, Literal, TypeGuard

import numpy as np
import torch
from torch import Tensor

from jacengine.errors import ArgumentError, kind_of, unknown_choice
from jacengine.patterns.pattern import Pattern, as_indices

PAIR = "given by the user as rows and columns"
"""The origin of a pattern whose shape is not known yet."""


def sparsity_option(given: Any) -> Pattern | Literal["auto", "detect"] | None:
    """Read the option `sparsity=`.

    Raises:
        ArgumentError: It is none of the options, and no pattern.
    """
    if given is None or (isinstance(given, str) and given in {"auto", "detect"}):
        return given  # type: ignore[return-value]
    if isinstance(given, str):
        raise ArgumentError(
            f"{unknown_choice('sparsity', given, ('auto', 'detect'))} Or pass None, or "
            "a pattern."
        )
    return as_pattern(given)


def as_pattern(given: Any) -> Pattern:
    """Read a pattern that a user gives.

    Args:
        given: A `Pattern`, a boolean tensor or array, `(rows, columns)`, or a torch or
            SciPy sparse matrix, whose explicit entries count.

    Raises:
        ArgumentError: It is none of those.
    """
    pattern = given
    if _is_pair(given):
        rows, columns = (
            as_indices(x, name)
            for x, name in zip(given, ("rows", "columns"), strict=True)
        )
        sizes = [int(x.max()) + 1 if x.numel() else 0 for x in (rows, columns)]
        pattern = Pattern((sizes[0], sizes[1]), rows, columns, origin=PAIR)
    elif isinstance(given, Tensor) and given.layout != torch.strided:
        rows, columns = given.to_sparse_coo().coalesce().indices()
        pattern = Pattern(_two(given.shape), rows, columns)
    elif isinstance(given, Tensor | np.ndarray):
        found = torch.as_tensor(given, device="cpu")
        if found.dtype != torch.bool:
            raise ArgumentError(
                f"sparsity= got {kind_of(given)} of {found.dtype}; expected a "
                "boolean one, that is true where J may be other than zero."
            )
        pattern = Pattern(_two(found.shape), *found.nonzero(as_tuple=True))
    elif hasattr(given, "tocoo"):
        entries = given.tocoo()
        entries.sum_duplicates()
        pattern = Pattern(_two(given.shape), *map(np.asarray, entries.coords))
    if not isinstance(pattern, Pattern):
        raise ArgumentError(
            f"sparsity={given!r:.60}: expected 'auto', None, 'detect', a Pattern, a "
            "boolean tensor, (rows, columns), or a torch or SciPy sparse matrix."
        )
    return pattern


def _is_pair(given: Any) -> TypeGuard[tuple[Any, Any] | list[Any]]:
    return isinstance(given, tuple | list) and len(given) == 2


def _two(shape: Any) -> tuple[int, int]:
    if len(shape) != 2:
        raise ArgumentError(f"sparsity= has shape {tuple(shape)}; expected two axes.")
    return int(shape[0]), int(shape[1])
