"""What is declined before it can be wrong.

A function that changes a tensor in place changes its views too, of which jets know
nothing; a custom autograd function has a backward of its own, which forward mode does
not read. Such a function calls torch on the jets from within its `forward`, and nothing
but the call stack tells.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any

from torch.autograd import Function

from jacengine.errors import UnsupportedError

_CUSTOM: CodeType = inspect.unwrap(Function.apply).__code__

_IN_PLACE = frozenset(
    f"__{name}__"
    for name in [
        "iadd",
        "isub",
        "imul",
        "itruediv",
        "idiv",
        "ifloordiv",
        "imod",
        "ipow",
        "imatmul",
        "iand",
        "ior",
        "ixor",
        "ilshift",
        "irshift",
        "setitem",
        "delitem",
        "set",
    ]
)

_REASONS: dict[str, str] = {
    **dict.fromkeys(
        ("as_strided", "storage", "untyped_storage", "data_ptr", "stft"),
        "depends on how tensors lie in memory",
    ),
    **dict.fromkeys(
        ("numpy", "__array__", "__dlpack__", "from_dlpack", "__reduce_ex__"),
        "leaves torch",
    ),
    **dict.fromkeys(
        ("grad", "backward", "register_hook", "retain_grad", "__deepcopy__"),
        "belongs to reverse mode",
    ),
}


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function of torch, or of the attribute that it reads."""
    name: str = getattr(function, "__name__", repr(function))
    if name in ("__get__", "__set__"):
        return str(getattr(getattr(function, "__self__", None), "__name__", name))
    return name


def refuse(function: Callable[..., Any], kwargs: Mapping[str, Any]) -> None:
    """Decline what jets cannot follow.

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
    """Decline to run inside of a custom autograd function.

    Args:
        start: Where the pass began; functions around it do not matter.

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
