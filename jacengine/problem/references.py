"""What a callable refers to, found by a bounded walk.

Followed are closures, defaults, the globals that code names, bound methods, partial
functions, containers, and the attributes of plain objects and modules. What is reached
in another way (through C code, class attributes, other modules' globals) is not found.
"""

from __future__ import annotations

import functools
import inspect
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from jacengine._torch_private import forward_hooks_of, own_attributes

MOST, LONGEST = 10_000, 1000
"""Objects that are looked at, and entries of a container that is looked into."""


@dataclass(frozen=True)
class References:
    """What was found.

    Attributes:
        modules: The modules that are not inside one that was found before.
        tensors: Tensors that are no module's parameters or buffers.
        generators: Random generators.
        objects: Plain objects.
    """

    modules: tuple[nn.Module, ...]
    tensors: tuple[Tensor, ...]
    generators: tuple[torch.Generator, ...]
    objects: tuple[Any, ...]


def references_of(fn: Any) -> References:
    """Find what a callable refers to."""
    modules: list[nn.Module] = []
    tensors: list[Tensor] = []
    generators: list[torch.Generator] = []
    objects: list[Any] = []
    met: dict[int, Any] = {}  # with the objects: an id is unique while its object lives
    waiting: deque[Any] = deque([fn])
    while waiting and len(met) < MOST:
        value = waiting.popleft()
        if id(value) in met:
            continue
        met[id(value)] = value
        if isinstance(value, Tensor):
            tensors.append(value)
        elif isinstance(value, torch.Generator):
            generators.append(value)
        elif isinstance(value, nn.Module):
            modules.append(value)
            for inside in value.modules():
                met[id(inside)] = inside
                waiting += _of_module(inside)
        else:
            if _is_plain(value):
                objects.append(value)
            waiting += _inside(value)
    return References(tuple(modules), tuple(tensors), tuple(generators), tuple(objects))


def _inside(value: Any) -> Iterator[Any]:
    """Yield what a value that is neither a module nor a tensor refers to."""
    if isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif inspect.ismethod(value):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, FunctionType):
        yield from _of_function(value)
    elif isinstance(value, Mapping | list | tuple | set | frozenset | deque):
        if len(value) <= LONGEST:
            yield from value.values() if isinstance(value, Mapping) else value
    elif _is_plain(value):
        yield from vars(value).values()
        call = inspect.getattr_static(value, "__call__", None)
        if isinstance(call, FunctionType):
            yield call


def _is_plain(value: Any) -> bool:
    """Tell whether a value is an instance of a class of the user's."""
    kind = type(value)
    library = kind.__module__.partition(".")[0] in {"torch", "numpy", "builtins"}
    return (
        hasattr(value, "__dict__")
        and not library
        and not isinstance(value, type | ModuleType | FunctionType)
    )


def _of_module(module: nn.Module) -> Iterator[Any]:
    """Yield what a module refers to besides parameters, buffers and submodules."""
    yield from own_attributes(module).values()
    yield from forward_hooks_of(module)
    forward = type(module).forward
    if isinstance(forward, FunctionType) and not forward.__module__.startswith("torch"):
        yield forward


def _of_function(function: FunctionType) -> Iterator[Any]:
    if function.__module__ and function.__module__.partition(".")[0] == "torch":
        return
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # a name that is bound later
            continue
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for name in _names(function.__code__):
        value = function.__globals__.get(name)
        if not isinstance(value, ModuleType | type | None):
            yield value


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names that code and the functions defined in it read."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
