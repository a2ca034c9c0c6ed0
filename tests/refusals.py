"""What every error of jacengine has: two families, and words that help."""

import re
from collections.abc import Callable
from typing import Any

import pytest

import jacengine
from jacengine import JacengineError


def jacobian(fn: Any, *args: Any, **options: Any) -> Any:
    """Call `jacobian` with options of any type, by the plainest method."""
    named: dict[str, Any] = {"strategy": "reverse_loop", **options}
    return jacengine.jacobian(fn, *args, **named)


def plan(fn: Any, *args: Any, **options: Any) -> Any:
    """Call `plan` with options of any type, without timing anything."""
    named: dict[str, Any] = {"effort": "none", **options}
    return jacengine.plan(fn, *args, **named)


def refused(
    call: Callable[[], object],
    error: type[JacengineError],
    builtin: type[Exception],
    *said: str,
) -> None:
    """Check that a call raises an error of both families that says all of this."""
    with pytest.raises(error, match=said[0]) as caught:
        call()
    assert isinstance(caught.value, builtin)
    for part in said:
        assert re.search(part, str(caught.value)), f"{part!r} not in: {caught.value}"
