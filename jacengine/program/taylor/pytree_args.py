"""Arguments of functions of torch, in which jets may be nested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jacengine.program.taylor.jet import Jet


def replaced(value: Any, change: Callable[[Jet], Any]) -> Any:
    """Return nested tuples, lists and dicts with the jets in them changed."""
    if isinstance(value, Jet):
        return change(value)
    if isinstance(value, (tuple, list)):
        each = [replaced(one, change) for one in value]
        return each if isinstance(value, list) else tuple(each)
    if isinstance(value, dict):
        return {name: replaced(one, change) for name, one in value.items()}
    return value


def primals_of(value: Any) -> Any:
    """Return nested tuples, lists and dicts with the values of the jets in them."""
    return replaced(value, lambda jet: jet.primal)


def value_of(operand: Any) -> Any:
    """Return the value of a jet; of anything else, itself."""
    return operand.primal if isinstance(operand, Jet) else operand
