"""The names under which torch has one function.

`torch.tanh`, `F.tanh`, `Tensor.tanh` and `torch.special.expit` are what arrives in
`__torch_function__`, each an object of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_PLACES = (torch, Tensor, F, torch.special, torch.linalg)


def spellings(*names: str) -> Iterator[Callable[..., Any]]:
    """Yield the functions of torch that have one of these names.

    Raises:
        LookupError: There is none.
    """
    found = [
        function
        for name in names
        for place in _PLACES
        if callable(function := getattr(place, name, None))
    ]
    if not found:
        raise LookupError(f"torch has no function called {' or '.join(names)}.")
    yield from found


def attribute(name: str) -> Callable[..., Any]:
    """Return what reads an attribute of tensors."""
    getter: Callable[..., Any] = getattr(Tensor, name).__get__
    return getter
