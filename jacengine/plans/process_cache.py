"""The process cache: what was planned for a function and a signature, for `auto` etc.

It holds no function and no module. A function that would do the same is the same
function: closures that are written anew at each call share a plan.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any, Generic, TypeVar

from jacengine._locks import lock
from jacengine.plans.request import PlanRequest
from jacengine.problem.fingerprint import Fingerprints
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
    settled = (
        request.options.key,
        request.strategies,
        request.effort,
        request.compiled,
        str(request.memory_budget),
    )
    leaves = describe_leaves(request.leaves)
    plain = [(type(x), repr(x)) for x in request.leaves if isinstance(x, PLAIN)]
    nesting = request.structure.key
    return (fingerprint, settled, leaves, *plain, nesting, settings(), further), held


class ProcessCache(Generic[T]):
    """A bounded cache of what refers to no function, by the key of a request."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        """Begin with nothing."""
        self._capacity = capacity
        self._entries = OrderedDict[Hashable, tuple[T, list[weakref.ref[Any]]]]()
        self._lock = lock()

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: Key) -> T | None:
        """Return what was kept for this key, if all that it stands for still lives."""
        with self._lock:
            entry = self._entries.get(key[0])
            if entry is None or any(ref() is None for ref in entry[1]):
                return None
            self._entries.move_to_end(key[0])
            return entry[0]

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
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
