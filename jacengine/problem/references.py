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
from enum import Enum
from types import CodeType, EllipsisType, FunctionType, MethodType, NoneType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from jacengine._torch_private import (
    dictionaries_of,
    forward_hooks_of,
    own_attributes,
)
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


class Met(NamedTuple):
    """Something that is looked into, or known by its identity: what, and which."""

    kind: type
    number: int


PLAIN = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    NoneType,
    EllipsisType,
    range,
    Enum,
    torch.dtype,
    torch.device,
)
"""Types whose values are compared as such."""


class Reads(NamedTuple):
    """Where the references were found; while all is the same there, so are they.

    Attributes:
        owners: The modules that were looked into, and the class of each.
        dictionaries: Dictionaries of attributes, parameters, hooks, and the user's.
        sequences: Lists, sets and the like.
        functions: Functions, with the code and the defaults that each had.
        cells: The cells of closures, and what each held.
        globals: Names that code reads, where it looks them up, and what it found.
        revisited: The identities of what was reached more than once.
    """

    owners: list[tuple[nn.Module, type]]
    dictionaries: list[dict[Any, Any]]
    sequences: list[Any]
    functions: list[tuple[FunctionType, Any, Any, Any]]
    cells: list[tuple[Any, Any]]
    globals: list[tuple[dict[str, Any], str, Any]]
    revisited: set[int]


class References(NamedTuple):
    """What was found.

    Attributes:
        modules: The modules that are not inside one that was found before.
        tensors: Tensors that are no module's parameters or buffers.
        generators: Random generators of torch, NumPy and Python.
        objects: Plain objects.
        values: Numbers, strings, code and the like, and a `Met` for anything else: the
            number of what refers to it, by which name, and the value.
        others: What is not looked into: classes, packages, built-in functions, objects
            of libraries.
        reads: Where all that was found.
        complete: Whether everything was looked at.
    """

    modules: tuple[nn.Module, ...]
    tensors: tuple[Tensor, ...]
    generators: tuple[Any, ...]
    objects: tuple[Any, ...]
    values: tuple[tuple[int, str, Any], ...]
    others: tuple[Any, ...]
    reads: Reads
    complete: bool


def references_of(fn: Any, *arguments: Any, inside_modules: bool = True) -> References:
    """Find what a callable refers to, and arguments of it that are no tensors.

    Args:
        fn: The callable.
        arguments: Objects that it is given.
        inside_modules: Whether modules are looked into, for what else they refer to.
    """
    modules: list[nn.Module] = []
    tensors: list[Tensor] = []
    generators: list[Any] = []
    objects: list[Any] = []
    values: list[tuple[int, str, Any]] = []
    others: list[Any] = []
    reads = Reads([], [], [], [], [], [], set())
    # Numbered, with the objects: an id is unique while its object lives.
    met: dict[int, tuple[int, Any]] = {}
    waiting: deque[tuple[int, str, Any]] = deque([(-1, "the function", fn)])
    waiting += ((-1, "an argument", value) for value in arguments)

    def wait(owner: int, found: Iterable[Named]) -> None:
        waiting.extend([(owner, name, value) for name, value in found])

    while waiting and len(met) + len(values) < MOST:
        owner, name, value = waiting.popleft()
        if isinstance(value, PLAIN):
            values.append((owner, name, value))
            continue
        known = id(value) in met
        number = met.setdefault(id(value), (len(met), value))[0]
        values.append((owner, name, Met(type(value), number)))
        if known:
            reads.revisited.add(id(value))
            continue
        if isinstance(value, Tensor):
            tensors.append(value)
        elif isinstance(value, nn.Module):
            modules.append(value)
            for inside in value.modules() if inside_modules else ():
                place = met.setdefault(id(inside), (len(met), inside))[0]
                wait(place, _of_module(inside, reads))
        elif isinstance(value, FunctionType):
            values.append((number, "code", value.__code__))
            wait(number, _of_function(value, reads))
        elif is_generator(value):
            generators.append(value)
        elif (found := _inside(name, value, reads)) is not None:
            wait(number, found)
            if _is_plain(value):
                objects.append(value)
        else:
            others.append(value)
    return References(
        tuple(modules),
        tuple(tensors),
        tuple(generators),
        tuple(objects),
        tuple(values),
        tuple(others),
        reads,
        not waiting,
    )


def objects_among(leaves: Iterable[Any]) -> tuple[Any, ...]:
    """Return the leaves that may refer to something."""
    return tuple(leaf for leaf in leaves if not isinstance(leaf, (Tensor, *PLAIN)))


def _inside(name: str, value: Any, reads: Reads) -> list[Named] | None:
    """List what a value that is no function, module or tensor refers to.

    Returns:
        Names and values; `None` if it cannot be looked into.
    """
    if isinstance(value, functools.partial):
        given = [(f"{name}[{i}]", held) for i, held in enumerate(value.args)]
        return [(name, value.func), *given, *value.keywords.items()]
    if isinstance(value, slice):
        return [("start", value.start), ("stop", value.stop), ("step", value.step)]
    if isinstance(value, MethodType):
        return [(name, value.__self__), (value.__name__, value.__func__)]
    # Other mappings run code of the user's (loaders, databases) when they are read.
    if isinstance(value, dict | list | tuple | set | frozenset | deque):
        if len(value) > LONGEST:
            return None
        if isinstance(value, dict):
            reads.dictionaries.append(value)
            pairs = list(dict[Any, Any].items(value))  # without code of the user's
            return [
                (f"{name}[{key!r}]" if isinstance(key, PLAIN) else name, held)
                for key, held in pairs
            ]
        reads.sequences.append(value)
        return [(f"{name}[{i}]", entry) for i, entry in enumerate(list(value))]
    if _is_plain(value):
        reads.dictionaries.append(vars(value))
        call = inspect.getattr_static(value, "__call__", None)
        called = [("__call__", call)] if isinstance(call, FunctionType) else []
        return [*vars(value).copy().items(), *called]
    return None


def _is_plain(value: Any) -> bool:
    """Tell whether a value is an instance of a class of the user's."""
    library = type(value).__module__.partition(".")[0] in LIBRARIES
    return not library and hasattr(value, "__dict__") and not isinstance(value, type)


def _of_module(module: nn.Module, reads: Reads) -> Iterator[Named]:
    """Yield what a module refers to besides parameters, buffers and submodules."""
    reads.owners.append((module, type(module)))
    reads.dictionaries.extend(dictionaries_of(module))
    yield from own_attributes(module).items()
    yield from (("hook", hook) for hook in forward_hooks_of(module))
    forward = inspect.getattr_static(module, "forward", None)
    if isinstance(forward, FunctionType) and not forward.__module__.startswith("torch"):
        yield "forward", forward


def _of_function(function: FunctionType, reads: Reads) -> Iterator[Named]:
    code, defaults = function.__code__, function.__defaults__
    keywords = function.__kwdefaults__
    reads.functions.append((function, code, defaults, keywords))
    if keywords:
        reads.dictionaries.append(keywords)
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:  # a name that is bound later
            continue
        reads.cells.append((cell, value))
        yield name, value
    yield from (("a default", value) for value in defaults or ())
    yield from (keywords or {}).items()
    reads.dictionaries.append(vars(function))
    yield from vars(function).copy().items()
    if (function.__module__ or "").partition(".")[0] == "torch":
        return
    for name in names_in(code):
        value = function.__globals__.get(name)
        reads.globals.append((function.__globals__, name, value))
        if value is not None:
            yield name, value


@functools.lru_cache(maxsize=1024)
def names_in(code: CodeType) -> tuple[str, ...]:
    """List the names that code and the functions defined in it read."""
    inside = (c for c in code.co_consts if isinstance(c, CodeType))
    return (*code.co_names, *(name for c in inside for name in names_in(c)))
