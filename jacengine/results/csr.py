"""CSR tensors, without torch's warning that they are in beta."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor


def csr_tensor(
    starts: Tensor, columns: Tensor, values: Tensor, shape: Sequence[int]
) -> Tensor:
    """Return the CSR tensor of these, which are not checked.

    Args:
        starts: The number of entries before each row, and of all.
        columns: The column of each entry.
        values: The value of each.
        shape: Rows and columns, after samples if there are any.
    """
    _silence()
    return torch.sparse_csr_tensor(
        starts,
        columns,
        values,
        list(shape),
        device=values.device,
        check_invariants=False,
    )


@functools.cache
def _silence() -> None:
    """Let torch warn where nobody hears it; it warns once in a process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.zeros(1, 1, device="cpu").to_sparse_csr()
