"""The memory that each rank may take: as much as the rank that has least."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

import torch

from jacengine.selection.budget import DEFAULT_SHARE, Budget, to_bytes

KEPT_BITS = 3
"""Leading bits of what is free that count: a choice is kept under its budget."""


def own_budget(budget: Budget, device: torch.device) -> dict[str, Any]:
    """Tell how much memory this rank may take, and of what.

    Raises:
        ArgumentError: It is no budget.
    """
    place = f"{socket.gethostname()} {device}"
    if device.type == "cuda":
        place += f" {torch.cuda.get_device_properties(device).uuid}"
    share = DEFAULT_SHARE if budget is None else budget
    return {
        "bytes": to_bytes(share, device),
        "place": place,
        "share": isinstance(share, float),
    }


def budgets_of(told: Sequence[dict[str, Any]]) -> list[int]:
    """Return what each rank may take: ranks on one device share what is free there."""
    found: list[int] = []
    for own in told:
        size = int(own["bytes"])
        if own["share"]:
            sharing = sum(1 for other in told if other["place"] == own["place"])
            size = _rounded(size // sharing)
        found.append(max(1, size))
    return found


def _rounded(size: int) -> int:
    """Round down, so that what happens to be free makes no difference."""
    dropped = max(0, size.bit_length() - KEPT_BITS)
    return size >> dropped << dropped
