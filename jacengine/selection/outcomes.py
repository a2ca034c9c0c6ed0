"""What an exception of a candidate means: outcome and reason."""

from __future__ import annotations

import re

import torch

from jacengine.errors import JacengineError, UnsupportedError
from jacengine.selection.candidate_result import Outcome


def classify_error(error: Exception) -> tuple[Outcome, str]:
    """Turn what a strategy raised into an outcome and a reason."""
    message = str(error).strip()
    said = re.split(r"(?<=[.!])\s|\n", message, maxsplit=1)[0].rstrip(".")
    operator = operator_in(message)
    reason = f"{type(error).__name__}: {said}"
    if operator and operator not in reason:
        reason = f"{operator}: {reason}"
    if out_of_memory(error):
        return "oom", reason
    declined = isinstance(error, UnsupportedError)
    ours = isinstance(error, JacengineError) and not declined
    if isinstance(error, RuntimeError) and not ours:
        return "unsupported", reason
    return "error", reason


def out_of_memory(error: BaseException) -> bool:
    """Tell a refused allocation; on CPU torch raises a plain RuntimeError for it."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def operator_in(message: str) -> str | None:
    """Find the name of the operator that an error message of torch complains of."""
    for pattern in (
        r"aten::[A-Za-z_0-9.]*[A-Za-z_0-9]",
        r"derivative for '([A-Za-z_0-9:.]+)'",
        r"forward AD with ([A-Za-z_0-9:.]+)",
    ):
        found = re.search(pattern, message)
        if found:
            return found[found.lastindex or 0]
    return None
