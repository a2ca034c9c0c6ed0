"""Memory for results: what a fresh page costs is more than what is written to it.

The kernel hands out memory page by page at the first write, and for a large result that
takes several times as long as the writing. Huge pages are handed out 512 times as much
at once. Linux gives them to those who ask (`transparent_hugepage/enabled` is `madvise`
on most systems); it is advice, and changes nothing but the speed.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Sequence

import torch
from torch import Tensor

LARGE = 2**22
"""Bytes from which a result is worth a system call; a huge page has 2 MiB."""


def allocate(
    shape: Sequence[int], *, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Return an uninitialised tensor, in huge pages where it is large."""
    made = torch.empty(tuple(shape), dtype=dtype, device=device)
    real = type(made) is Tensor  # fake tensors have sizes, and no memory
    if real and device.type == "cpu" and made.untyped_storage().nbytes() >= LARGE:
        _advise(made)
    return made


def _advise(tensor: Tensor) -> None:
    """Ask for huge pages; without effect where the system has none."""
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    if advice is None or not sys.platform.startswith("linux"):
        return
    page = mmap.PAGESIZE
    storage = tensor.untyped_storage()
    begin, end = storage.data_ptr(), storage.data_ptr() + storage.nbytes()
    first, last = -(-begin // page) * page, end // page * page
    ctypes.CDLL(None).madvise(
        ctypes.c_void_p(first), ctypes.c_size_t(last - first), ctypes.c_int(advice)
    )
