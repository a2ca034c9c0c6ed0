"""SciPy's arrays as tensors, and tensors as arrays for SciPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from jacengine import pytrees
from jacengine.errors import ArgumentError, InputTypeError

Array = NDArray[np.float64]
_LEAVES = (np.ndarray, np.generic, Tensor, int, float)
"""What most arguments are; where all are, there is nothing to flatten."""


def as_tensor(given: Any, name: str, ndim: int) -> Tensor:
    """Copy an array of real numbers into a float64 tensor on the CPU.

    It is a copy, so that a function that writes into its argument does not change the
    solver's array.

    Args:
        given: What SciPy, or the user, passes.
        name: What it is called in messages.
        ndim: The number of axes it has to have.

    Raises:
        ArgumentError: It has another number of axes.
        InputTypeError: Its entries are no real numbers.
    """
    array = given.numpy(force=True) if isinstance(given, Tensor) else np.asarray(given)
    if array.dtype.kind not in "iuf":
        raise InputTypeError(
            f"{name} is an array of {array.dtype}; expected real numbers, which become "
            "float64."
        )
    if array.ndim != ndim:
        raise ArgumentError(
            f"{name} has shape {array.shape}; expected {ndim} axes, not {array.ndim}."
        )
    return torch.from_numpy(np.array(array, np.float64, order="C"))


def as_vector(given: Any, name: str, length: int | None = None) -> Tensor:
    """Copy numbers into a 1-D float64 tensor; a single number has one entry.

    Raises:
        ArgumentError: They are not 1-D, or not `length` many.
        InputTypeError: They are no real numbers.
    """
    if np.ndim(given) == 0:
        given = [given]
    vector = as_tensor(given, name, 1)
    if length is not None and len(vector) != length:
        raise ArgumentError(
            f"{name} has {len(vector)} entries; expected {length}, as many as the "
            "starting point that the callbacks were made with. Make them anew for "
            "another number."
        )
    return vector


def as_arguments(
    args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Turn the NumPy arrays among a function's further arguments into tensors.

    NumPy's numbers become Python's; everything else is passed on as it is.
    """
    if all(isinstance(one, _LEAVES) for one in (*args, *kwargs.values())):
        named = {name: _as_argument(one) for name, one in kwargs.items()}
        return tuple(map(_as_argument, args)), named
    leaves, structure = pytrees.flatten_call(args, kwargs)
    converted = structure.unflatten([_as_argument(leaf) for leaf in leaves])
    return cast("tuple[tuple[Any, ...], dict[str, Any]]", converted)


def _as_argument(leaf: Any) -> Any:
    if isinstance(leaf, np.generic):
        return leaf.item()
    if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "biufc":
        return torch.from_numpy(np.array(leaf, leaf.dtype.newbyteorder("="), order="C"))
    return leaf


def as_array(tensor: Tensor) -> Array:
    """Return a tensor as a contiguous array that may be written to."""
    return np.asarray(tensor.numpy(force=True), order="C")


def as_csr(tensor: Tensor) -> sparse.csr_array[np.float64]:
    """Return a CSR tensor as a CSR array, with indices of its own.

    SciPy changes indices in place (`eliminate_zeros`), and those of a tensor belong to
    the pattern of all.
    """
    starts, columns = tensor.crow_indices(), tensor.col_indices()
    largest = max(columns.numel(), *tensor.shape)
    index = np.int32 if largest <= np.iinfo(np.int32).max else np.int64
    rows, width = tensor.shape
    parts: Any = (
        as_array(tensor.values()),
        columns.numpy(force=True).astype(index),
        starts.numpy(force=True).astype(index),
    )
    return sparse.csr_array(parts, shape=(rows, width))
