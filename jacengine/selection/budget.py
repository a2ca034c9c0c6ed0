"""Memory budgets: what a user may write, in bytes."""

from __future__ import annotations

import re

import torch

from jacengine.errors import ArgumentError, kind_of
from jacengine.selection.free_memory import free_bytes

Budget = int | float | str | None

_DECIMAL = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS = _DECIMAL | {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}

DEFAULT_SHARE = 0.8
"""Share of the free memory that a call may take when no budget is given."""


def to_bytes(budget: Budget, device: torch.device) -> int:
    """Read a budget of a device's memory in bytes.

    It is bytes (`int`), a size (`"512MiB"`), a fraction of what is free (`0.5`), or
    `None` for the default share of that.

    Raises:
        ArgumentError: It is none of these, or not positive.
    """
    if budget is None:
        return int(DEFAULT_SHARE * free_bytes(device))
    if isinstance(budget, bool) or not isinstance(budget, int | float | str):
        raise ArgumentError(
            f"memory_budget={budget!r}: expected bytes (int), a size such as '512MiB', "
            f"or a fraction of the free memory (float), got {kind_of(budget)}."
        )
    if isinstance(budget, float):
        if not 0 < budget <= 1:
            raise ArgumentError(
                f"memory_budget={budget!r}: a float is a fraction of the free memory "
                "and is in (0, 1]; give bytes as an int."
            )
        return int(budget * free_bytes(device))
    if isinstance(budget, str):
        found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]*)\s*", budget)
        if found is None or found[2].upper() not in _UNITS:
            raise ArgumentError(
                f"memory_budget={budget!r} is not a size; write a number and one of "
                f"{', '.join(unit for unit in _UNITS if unit)}, as in '512MiB'."
            )
        size = float(found[1]) * _UNITS[found[2].upper()]
        if size > 2**63:
            raise ArgumentError(f"memory_budget={budget[:40]!r} is more than there is.")
        budget = int(size)
    if budget <= 0:
        raise ArgumentError(f"memory_budget={budget!r}: must be more than 0 bytes.")
    return budget


def format_bytes(count: float) -> str:
    """Write a size as people do: `179.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
