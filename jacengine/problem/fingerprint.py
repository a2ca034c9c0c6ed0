"""What a function does besides its arguments: code, values and modules, comparably.

A branch may depend on a number in a closure, an attribute or a global, and what was
found out about a module does not hold for another one in its place. So a cache compares
all that before it takes a plan. Functions that are written anew at each call, with
equal values and the same modules, are the same.

A module is looked into once. Afterwards it is enough that what was read is the same:
its dictionaries hold the same objects, and its tensors are of the same kind.
"""

from __future__ import annotations

import functools
import itertools
import operator
import weakref
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from types import BuiltinFunctionType, ModuleType
from typing import Any

from torch import Tensor, nn

from jacengine._torch_private import (
    buffers_of,
    parameters_of,
    tensor_hooks,
    tensors_of,
)
from jacengine.problem.callee import Callee
from jacengine.problem.references import References, references_of

Fingerprint = tuple[Hashable, ...]
CAPACITY = 256
"""Modules that are known at a time."""
HARMLESS = (BuiltinFunctionType, type, ModuleType)
"""What is not looked into and refers to no model."""
UNINITIALIZED = (nn.UninitializedParameter, nn.parameter.UninitializedBuffer)


class Fingerprints:
    """Fingerprints of functions, and what is known of modules in between."""

    def __init__(self) -> None:
        """Begin with no modules."""
        self._snapshots = OrderedDict[int, _Snapshot]()
        self._numbers = OrderedDict[Fingerprint, int]()
        self._count = itertools.count()

    def of(self, callee: Callee) -> tuple[Fingerprint, list[Any]]:
        """Describe a function in comparable and hashable terms.

        Returns:
            The fingerprint, and what stands in it by its identity: it means the same
            while that lives.
        """
        found = references_of(callee.fn, *callee.objects, inside_modules=False)
        described = _described(found)
        held = [*found.others, *found.generators]
        tensors = list(found.tensors)
        complete = found.complete
        for module in found.modules:
            snapshot = self._snapshot(module)
            described.append(snapshot.number)
            held += snapshot.others
            tensors += snapshot.tensors
            complete = complete and snapshot.complete
        if len(found.modules) > 1 or found.tensors:  # some may be tied across
            described += _numbered(tensors)
        if not complete or not all(map(_is_watchable, held)):
            # Not all can be compared, so it is this very function.
            held = [*filter(_is_watchable, held), callee.fn]
        return (*described, *map(id, held)), held

    def _snapshot(self, root: nn.Module) -> _Snapshot:
        """Recognise a module, or look into it."""
        known = self._snapshots.get(id(root))
        if known is not None and known.root() is root and known.holds():
            return known
        inside = references_of(root)
        values = (*_described(inside), *_of_module(root))
        number = self._numbers.get(values)
        if number is None:
            number = self._numbers[values] = next(self._count)
            _trim(self._numbers)
        watched = weakref.ref(root, functools.partial(self._forget, id(root)))
        snapshot = _Snapshot(watched, inside, number)
        self._snapshots.pop(id(root), None)
        if not snapshot.may_refer_to(root, inside):
            self._snapshots[id(root)] = snapshot
            _trim(self._snapshots)
        return snapshot

    def _forget(self, place: int, root: weakref.ref[nn.Module]) -> None:
        """Drop what is known of a module that is gone, and so what was inside it."""
        known = self._snapshots.get(place)
        if known is not None and known.root is root:
            del self._snapshots[place]


class _Snapshot:
    """What was read of a tree of modules, to tell whether it is the same now.

    It refers to all of that, so that nothing is replaced by something else at the same
    address, but for the root, with which it goes.
    """

    def __init__(
        self, watched: weakref.ref[nn.Module], inside: References, number: int
    ) -> None:
        self.root, root = watched, watched()
        assert root is not None
        self.number = number
        self.complete = inside.complete
        self.others = (*inside.others, *inside.generators)
        every = (t for t in tensors_of([root]) if not isinstance(t, UNINITIALIZED))
        self.tensors = (*every, *inside.tensors)
        self._kinds = list(map(_kind, self.tensors))
        reads = inside.reads
        self._class = type(root)
        modules = [pair for pair in reads.owners if pair[0] is not root]
        self._modules = [module for module, _ in modules]
        self._classes = [kind for _, kind in modules]
        self._forwards = {kind: _forward(kind) for kind in {type(root), *self._classes}}
        # Most dictionaries of hooks and buffers are empty, and stay so.
        self._empty = [read for read in reads.dictionaries if not read]
        self._dictionaries = [read for read in reads.dictionaries if read]
        self._sequences = reads.sequences
        self._held = list(self._read())
        self._count = self._entries()
        self._functions = reads.functions
        self._cells = reads.cells
        self._globals = reads.globals

    def _read(self) -> Iterator[Any]:
        keys, values = map(_KEYS, self._dictionaries), map(_VALUES, self._dictionaries)
        read = keys, values, self._sequences
        return itertools.chain.from_iterable(itertools.chain.from_iterable(read))

    def _entries(self) -> int:
        return sum(map(len, self._dictionaries)) + sum(map(len, self._sequences))

    def holds(self) -> bool:
        """Compare everything that was read."""
        return (
            not any(self._empty)
            and self._entries() == self._count
            and all(map(operator.is_, self._read(), self._held))
            and type(self.root()) is self._class
            and list(map(type, self._modules)) == self._classes
            and list(map(_kind, self.tensors)) == self._kinds
            and all(_forward(kind) is f for kind, f in self._forwards.items())
            and all(scope.get(name) is v for scope, name, v in self._globals)
            and all(
                f.__code__ is code
                and f.__defaults__ is values
                and f.__kwdefaults__ is named
                for f, code, values, named in self._functions
            )
            and all(_content(cell) is value for cell, value in self._cells)
        )

    def may_refer_to(self, root: nn.Module, inside: References) -> bool:
        """Tell whether something that it holds could keep the root alive."""
        return (
            id(root) in inside.reads.revisited
            or not all(isinstance(o, HARMLESS) for o in inside.others)
            or any(tensor_hooks(t) or vars(t) for t in self.tensors)
        )


_KEYS = operator.methodcaller("keys")
_VALUES = operator.methodcaller("values")  # of traced modules, they are no dicts


def _is_watchable(value: Any) -> bool:
    """Tell whether it can be noticed that an object is gone."""
    return type(value).__weakrefoffset__ != 0


def _forward(kind: type) -> Any:
    return getattr(kind, "forward", None)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # deleted
        return None


def _trim(table: OrderedDict[Any, Any]) -> None:
    while len(table) > CAPACITY:
        table.popitem(last=False)


def _described(found: References) -> list[Hashable]:
    """Describe values by value, objects by class and tensors by kind."""
    each: list[Hashable] = [
        (owner, name, type(v), _plain(v)) for owner, name, v in found.values
    ]
    each += map(_kind, found.tensors)
    return each


def _of_module(root: nn.Module) -> Iterator[Hashable]:
    """Describe a module's classes, parameters and buffers; tied ones by number."""
    numbers: dict[int, int] = {}
    for path, module in root.named_modules():
        yield path, type(module), module.training
        for held in (parameters_of(module), buffers_of(module)):
            for name, tensor in held.items():
                if tensor is None or isinstance(tensor, UNINITIALIZED):
                    yield name, None
                else:
                    number = numbers.setdefault(id(tensor), len(numbers))
                    yield name, _kind(tensor), number


def _numbered(tensors: Iterable[Tensor]) -> list[Hashable]:
    """Give each tensor a number, the same one the same."""
    numbers: dict[int, int] = {}
    return [numbers.setdefault(id(t), len(numbers)) for t in tensors]


def _kind(tensor: Tensor) -> Hashable:
    kind = type(tensor), tensor.layout
    return (tensor.shape, tensor.dtype, tensor.device, tensor.requires_grad, *kind)


def _plain(value: Any) -> Hashable:
    return repr(value) if isinstance(value, float | complex) else value
