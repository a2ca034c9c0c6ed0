"""What a plan rests on besides its arguments: the function's code, values and modules.

A branch may depend on a number in a closure, an attribute or a global, and what was
found out about a module does not hold for another one in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from jacengine._torch_private import buffers_of, parameters_of
from jacengine.problem.references import Named, References

Fingerprint = tuple[Named, ...]
"""Names and what they stand for, in comparable and hashable terms."""


def fingerprint(found: References) -> Fingerprint:
    """Describe what a callable refers to."""
    numbers: dict[int, int] = {}
    return (
        *((name, _plain(value)) for name, value in found.values),
        *((f"tensor {i}", _tensor(t)) for i, t in enumerate(found.tensors)),
        *(each for module in found.modules for each in _of_module(module, numbers)),
    )


def _of_module(root: nn.Module, numbers: dict[int, int]) -> Iterator[Named]:
    """Describe a module's classes, parameters and buffers; tied ones by number."""
    for path, module in root.named_modules():
        name = path or type(root).__name__
        yield f"class of {name}", type(module)
        for kind, held in (
            ("parameter", parameters_of(module)),
            ("buffer", buffers_of(module)),
        ):
            for own, tensor in held.items():
                label = f"{kind} {path}.{own}" if path else f"{kind} {own}"
                if tensor is None:
                    yield label, None
                else:
                    number = numbers.setdefault(id(tensor), len(numbers))
                    yield label, (*_tensor(tensor), tensor.requires_grad, number)


def _tensor(tensor: Tensor) -> tuple[object, ...]:
    return (tuple(tensor.shape), tensor.dtype, tensor.device)


def _plain(value: Any) -> object:
    return (type(value), repr(value)) if isinstance(value, float) else value
