"""The process cache: what was planned for a function and a signature, for `auto` etc.

It holds no function and no module. A function that would do the same is the same
function: closures that are written anew at each call share a plan.
"""

from __future__ import annotations

import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

from jacengine._locks import lock
from jacengine.plans.guarded_function import GuardedFunction, code_of
from jacengine.plans.request import PlanRequest
from jacengine.problem.fingerprint import Fingerprints
from jacengine.problem.problem import Problem
from jacengine.problem.references import PLAIN
from jacengine.problem.signature import describe_leaves, settings

CAPACITY = 128
"""Plans in the cache at most; the least recently used is removed first."""
FINGERPRINTS = Fingerprints()
"""Of functions and modules; one for all caches."""
T = TypeVar("T")
Key = tuple[Hashable, Sequence[Any]]
"""What identifies a request, and what stands in it by its identity."""


def identity_of(request: PlanRequest, *further: Hashable) -> Key:
    """Identify a request by everything that its plan rests on.

    Args:
        request: The request.
        further: What else it depends on.
    """
    fingerprint, held = FINGERPRINTS.of(request.callee)
    leaves = describe_leaves(request.leaves)
    plain = [(type(x), repr(x)) for x in request.leaves if isinstance(x, PLAIN)]
    nesting = request.structure.key
    return (fingerprint, leaves, *plain, nesting, *_choices(request, further)), held


def _choices(request: PlanRequest, further: Sequence[Hashable]) -> tuple[Hashable, ...]:
    """List what a plan rests on besides the function and its arguments."""
    return (
        request.options.key,
        request.strategies,
        request.effort,
        request.compiled,
        str(request.memory_budget),
        settings(),
        *further,
    )


class ProcessCache(Generic[T]):
    """A bounded cache of what refers to no function, by the key of a request.

    A function that is asked for often is captured by TorchDynamo, whose guards then
    say in microseconds that it is the same.
    """

    def __init__(
        self, problem_of: Callable[[T], Problem], capacity: int = CAPACITY
    ) -> None:
        """Begin with nothing.

        Args:
            problem_of: The problem that a value was made for.
            capacity: The number of values at most.
        """
        self._problem_of = problem_of
        self._capacity = capacity
        self._entries = OrderedDict[Hashable, tuple[T, list[weakref.ref[Any]]]]()
        self._guarded = OrderedDict[Hashable, GuardedFunction[T]]()
        self._lock = lock()

    def __len__(self) -> int:
        return len(self._entries)

    def slot(
        self, request: PlanRequest, *further: Hashable, held: Sequence[Any] = ()
    ) -> Slot[T]:
        """Look a request up.

        Args:
            request: The request.
            further: What else its value depends on.
            held: Objects that stand in `further` by their identities.
        """
        guarded = None if held else self._guarded_function(request, further)
        value = None if guarded is None else guarded.find(request)
        if value is not None:
            return Slot(self, ((), ()), value)
        started = time.perf_counter()
        identity, objects = identity_of(request, *further)
        key = identity, [*objects, *held]
        value = self._find(key)
        if guarded is not None and value is not None:
            spent = time.perf_counter() - started
            guarded.spend(spent, request, value, self._problem_of(value))
        return Slot(self, key, value)

    def keep(self, key: Key, value: T) -> None:
        """Keep something, which must not refer to the function."""
        identity, held = key
        try:
            alive = list(map(weakref.ref, held))
        except TypeError:  # an object at whose address another may be, unnoticed
            return
        with self._lock:
            self._entries[identity] = (value, alive)
            self._entries.move_to_end(identity)
            self._trim(self._entries)

    def _find(self, key: Key) -> T | None:
        """Return what was kept for this key, if all that it stands for still lives."""
        with self._lock:
            entry = self._entries.get(key[0])
            if entry is None or any(ref() is None for ref in entry[1]):
                return None
            self._entries.move_to_end(key[0])
            return entry[0]

    def _guarded_function(
        self, request: PlanRequest, further: Sequence[Hashable]
    ) -> GuardedFunction[T] | None:
        """Return what is known of functions with this code, asked for with this."""
        code = code_of(request.fn)
        if code is None:
            return None
        key = code, _choices(request, further)
        with self._lock:
            found = self._guarded.get(key)
            if found is None:
                found = self._guarded[key] = GuardedFunction()
                self._trim(self._guarded)
            return found

    def _trim(self, table: OrderedDict[Any, Any]) -> None:
        while len(table) > self._capacity:
            table.popitem(last=False)


class Slot(Generic[T]):
    """The place of a request in a cache.

    Attributes:
        value: What is there, `None` if nothing is.
    """

    def __init__(self, cache: ProcessCache[T], key: Key, value: T | None) -> None:
        self._cache = cache
        self._key = key
        self.value = value

    def keep(self, value: T) -> None:
        """Put something there, which must not refer to the function."""
        self._cache.keep(self._key, value)
