"""The process cache: plans by function and signature, for `auto` and the like.

A plan keeps its function alive, and with it a model's memory, so the cache holds plans
without their functions, which it refers to weakly. When the same object comes again,
the two are joined; when it is gone, its entry is removed.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from jacengine._locks import lock
from jacengine.plans.plan import Plan
from jacengine.problem.side_effects import all_buffers, reachable_modules

CAPACITY = 128
"""Plans in the cache at most; the least recently used is removed first."""


_Key = tuple[tuple[object, ...], int]
_Entry = tuple[weakref.ref[Any], Plan, tuple[int, ...]]
"""The function, its plan without it, and which of its buffers a call writes."""


class ProcessCache:
    """A bounded cache of plans, by key and function."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        """Begin with no plans."""
        self._capacity = capacity
        self._entries = OrderedDict[_Key, _Entry]()
        self._lock = lock()

    def __len__(self) -> int:
        return len(self._entries)

    def find(
        self, key: tuple[object, ...], fn: Callable[..., Any], objects: Sequence[Any]
    ) -> Plan | None:
        """Return the plan made for this very function under this key.

        Args:
            key: What else it was made for.
            fn: The function.
            objects: Arguments of it that are no tensors.
        """
        roots = (fn, *objects)
        with self._lock:
            entry = self._entries.get((key, id(fn)))
            if entry is None or entry[0]() is not fn:
                return None
            self._entries.move_to_end((key, id(fn)))
        (_, plan, written), buffers = entry, all_buffers(*roots)
        stateful = tuple(buffers[i] for i in written if i < len(buffers))
        modules = tuple(reachable_modules(*roots))
        problem = replace(
            plan.problem, fn=fn, roots=roots, modules=modules, stateful=stateful
        )
        signature = replace(plan.signature, roots=modules)
        return Plan(problem, plan.selection, signature, plan.compositions)

    def keep(self, key: tuple[object, ...], plan: Plan) -> None:
        """Keep a plan, as long as its function lives."""
        fn = plan.problem.fn
        place = (key, id(fn))
        try:
            function = weakref.ref(fn, lambda _: self._entries.pop(place, None))
        except TypeError:  # built-in functions and the like
            return
        written = {(id(owner), name) for owner, name in plan.problem.stateful}
        stateful = tuple(
            i
            for i, (owner, name) in enumerate(all_buffers(*plan.problem.roots))
            if (id(owner), name) in written
        )
        emptied = Plan(
            replace(plan.problem, fn=_gone, roots=(), modules=(), stateful=()),
            plan.selection.without_sweeps(),
            replace(plan.signature, roots=()),
            plan.compositions,
        )
        with self._lock:
            self._entries[place] = (function, emptied, stateful)
            self._entries.move_to_end(place)
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)


def _gone(*_: Any, **__: Any) -> Any:
    raise RuntimeError("a cached plan was called without its function")
