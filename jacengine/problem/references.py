"""What a callable refers to, found by a bounded walk.

Followed are closures, defaults, the globals that code names, bound methods, partial
functions, containers, and the attributes of plain objects and modules. What is reached
in another way (through C code, class attributes, other modules' globals) is not found.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from types import CodeType, FunctionType, ModuleType, NoneType
from typing import Any

import torch
from torch import Tensor, nn

from jacengine._torch_private import forward_hooks_of, own_attributes
from jacengine.problem.random_draws import is_generator

MOST, LONGEST = 10_000, 1000
"""Objects that are looked at, and entries of a container that is looked into."""


LIBRARIES = (sys.stdlib_module_names | {"torch", "numpy"}) - {
    *("argparse", "collections", "functools", "types")
}
"""Where objects are from that are not looked into: locks, loggers, files. Namespaces,
mappings and wrapped functions of the standard library are."""

Named = tuple[str, Any]
"""A value, and the name that it is referred to by."""
PLAIN = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    NoneType,
    Enum,
    torch.dtype,
    torch.device,
)
"""Types whose values are compared as such."""


@dataclass(frozen=True)
class References:
    """What was found.

    Attributes:
        modules: The modules that are not inside one that was found before.
        tensors: Tensors that are no module's parameters or buffers.
        generators: Random generators of torch, NumPy and Python.
        objects: Plain objects.
        values: Numbers, strings and the like, and the code of functions.
    """

    modules: tuple[nn.Module, ...]
    tensors: tuple[Tensor, ...]
    generators: tuple[Any, ...]
    objects: tuple[Any, ...]
    values: tuple[Named, ...]


def references_of(fn: Any, *arguments: Any) -> References:
    """Find what a callable refers to, and arguments of it that are no tensors."""
    modules: list[nn.Module] = []
    tensors: list[Tensor] = []
    generators: list[Any] = []
    objects: list[Any] = []
    values: list[Named] = []
    met: dict[int, Any] = {}  # with the objects: an id is unique while its object lives
    waiting: deque[Named] = deque([("the function", fn)])
    waiting += (("an argument", value) for value in arguments)
    while waiting and len(met) + len(values) < MOST:
        name, value = waiting.popleft()
        if isinstance(value, PLAIN):
            values.append((name, value))
            continue
        if id(value) in met:
            continue
        met[id(value)] = value
        if isinstance(value, Tensor):
            tensors.append(value)
        elif is_generator(value):
            generators.append(value)
        elif isinstance(value, nn.Module):
            modules.append(value)
            for inside in value.modules():
                met[id(inside)] = inside
                waiting += _of_module(inside)
        else:
            if isinstance(value, FunctionType):
                values.append((f"code of {value.__qualname__}", value.__code__))
            elif _is_plain(value):
                objects.append(value)
            waiting += _inside(name, value)
    return References(
        tuple(modules),
        tuple(tensors),
        tuple(generators),
        tuple(objects),
        tuple(values),
    )


def objects_among(leaves: Iterable[Any]) -> tuple[Any, ...]:
    """Return the leaves that may refer to something."""
    return tuple(leaf for leaf in leaves if not isinstance(leaf, (Tensor, *PLAIN)))


def _inside(name: str, value: Any) -> Iterator[Named]:
    """Yield what a value that is neither a module nor a tensor refers to."""
    if isinstance(value, functools.partial):
        yield name, value.func
        yield from ((f"{name}[{i}]", held) for i, held in enumerate(value.args))
        yield from value.keywords.items()
    elif inspect.ismethod(value):
        yield name, value.__self__
        yield value.__name__, value.__func__
    elif isinstance(value, FunctionType):
        yield from _of_function(value)
    # Other mappings run code of the user's (loaders, databases) when they are read.
    elif isinstance(value, dict | list | tuple | set | frozenset | deque):
        if len(value) <= LONGEST:
            held = list(value.values() if isinstance(value, dict) else value)
            yield from ((f"{name}[{i}]", entry) for i, entry in enumerate(held))
    elif _is_plain(value):
        yield from vars(value).copy().items()
        call = inspect.getattr_static(value, "__call__", None)
        if isinstance(call, FunctionType):
            yield "__call__", call


def _is_plain(value: Any) -> bool:
    """Tell whether a value is an instance of a class of the user's."""
    library = type(value).__module__.partition(".")[0] in LIBRARIES
    return not library and hasattr(value, "__dict__") and not isinstance(value, type)


def _of_module(module: nn.Module) -> Iterator[Named]:
    """Yield what a module refers to besides parameters, buffers and submodules."""
    yield from own_attributes(module).items()
    yield from (("hook", hook) for hook in forward_hooks_of(module))
    forward = inspect.getattr_static(module, "forward", None)
    if isinstance(forward, FunctionType) and not forward.__module__.startswith("torch"):
        yield "forward", forward


def _of_function(function: FunctionType) -> Iterator[Named]:
    if function.__module__ and function.__module__.partition(".")[0] == "torch":
        return
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # a name that is bound later
            continue
    yield from (("a default", value) for value in function.__defaults__ or ())
    yield from (function.__kwdefaults__ or {}).items()
    for name in _names(code):
        value = function.__globals__.get(name)
        if not isinstance(value, ModuleType | type | NoneType):
            yield name, value


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names that code and the functions defined in it read."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
