"""Functions that are refused because Taylor propagation would be wrong.

A function that changes a tensor in place changes its views too, which jets do not
track; a custom autograd function has a backward of its own, which forward mode does not
use. Such a function calls torch on the jets from within its `forward`, which only the
call stack shows.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any

from torch.autograd import Function

from jacengine.errors import UnsupportedError

_CUSTOM: CodeType = inspect.unwrap(Function.apply).__code__

_AUGMENTED = "add sub mul truediv div floordiv mod pow matmul and or xor lshift rshift"
_IN_PLACE = {
    *("__setitem__", "__delitem__", "__set__"),
    *(f"__i{name}__" for name in _AUGMENTED.split()),
}
_REASONS = {
    name: reason
    for names, reason in {
        "as_strided storage untyped_storage data_ptr stft": "depends on the memory "
        "layout of tensors",
        "numpy __array__ __dlpack__ from_dlpack __reduce_ex__": "leaves torch",
        "grad backward register_hook retain_grad __deepcopy__": "belongs to reverse "
        "mode",
    }.items()
    for name in names.split()
}


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function of torch, or of the attribute that it reads."""
    name: str = getattr(function, "__name__", repr(function))
    if name in ("__get__", "__set__"):
        return str(getattr(getattr(function, "__self__", None), "__name__", name))
    return name


def refuse(function: Callable[..., Any], kwargs: Mapping[str, Any]) -> None:
    """Raise for a function that jets cannot propagate through.

    Raises:
        UnsupportedError: It changes tensors in place, leaves torch, or reads memory.
    """
    name = getattr(function, "__name__", "")
    in_place = name in _IN_PLACE or (name.endswith("_") and not name.endswith("__"))
    if in_place or kwargs.get("inplace") or kwargs.get("out") is not None:
        raise UnsupportedError(
            f"{name_of(function)} changes a tensor in place, and views of it would be "
            "lost; expected a function that returns a new one."
        )
    reason = _REASONS.get(name)
    if reason is not None:
        raise UnsupportedError(f"{name} {reason}, where derivatives do not follow.")


def refuse_custom_functions(start: CodeType) -> None:
    """Raise inside of a custom autograd function.

    Args:
        start: Where the pass began; callers of it do not matter.

    Raises:
        UnsupportedError: The call stack leads through `Function.apply`.
    """
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not start:
        if frame.f_code is _CUSTOM:
            raise UnsupportedError(
                "A custom autograd function has a backward of its own, which forward "
                "propagation would ignore."
            )
        frame = frame.f_back
