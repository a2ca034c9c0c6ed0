"""What is known to be wrong with the engine, marked so that mending it is noticed."""

from typing import Any

import pytest

from jacengine.problems.quantity import Quantity

_KNOWN: dict[tuple[str, str, Quantity], str] = {}
"""By test, scenario and quantity."""


def marks_of(test: str, name: str, quantity: Quantity) -> Any:
    """Return the marks of a scenario in a test of the contract."""
    reason = _KNOWN.get((test, name, quantity))
    return () if reason is None else pytest.mark.xfail(strict=True, reason=reason)
