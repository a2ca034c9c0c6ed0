"""The process cache: plans by function and signature, for `auto` and the like.

A plan keeps its function alive, and with it a model's memory, so the cache holds plans
without their functions, which it refers to weakly. When the same object comes again,
the two are joined; when it is gone, its entry is removed.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from jacengine.plans.plan import Plan
from jacengine.problem.side_effects import all_buffers, reachable_modules

CAPACITY = 128
"""Plans in the cache at most; the least recently used is removed first."""


@dataclass(frozen=True)
class _Entry:
    function: weakref.ref[Any]
    plan: Plan
    stateful: tuple[int, ...]


class ProcessCache:
    """A bounded cache of plans, by key and function."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        """Begin with no plans."""
        self._capacity = capacity
        self._entries: OrderedDict[tuple[tuple[object, ...], int], _Entry] = (
            OrderedDict()
        )
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: tuple[object, ...], fn: Callable[..., Any]) -> Plan | None:
        """Return the plan made for this very function under this key."""
        with self._lock:
            entry = self._entries.get((key, id(fn)))
            if entry is None or entry.function() is not fn:
                return None
            self._entries.move_to_end((key, id(fn)))
        buffers = all_buffers(fn)
        stateful = tuple(buffers[i] for i in entry.stateful if i < len(buffers))
        modules = tuple(reachable_modules(fn))
        problem = replace(entry.plan.problem, fn=fn, modules=modules, stateful=stateful)
        signature = replace(entry.plan.signature, roots=modules)
        plan = entry.plan
        return Plan(problem, plan.selection, signature, plan.compositions)

    def keep(self, key: tuple[object, ...], plan: Plan) -> None:
        """Keep a plan, as long as its function lives."""
        fn = plan.problem.fn
        place = (key, id(fn))
        try:
            function = weakref.ref(fn, lambda _: self._entries.pop(place, None))
        except TypeError:  # built-in functions and the like
            return
        every: list[tuple[nn.Module, str]] = all_buffers(fn)
        stateful = tuple(
            i
            for i, (owner, name) in enumerate(every)
            if any(owner is o and name == n for o, n in plan.problem.stateful)
        )
        emptied = Plan(
            replace(plan.problem, fn=_gone, modules=(), stateful=()),
            plan.selection.without_sweeps(),
            replace(plan.signature, roots=()),
            plan.compositions,
        )
        with self._lock:
            self._entries[place] = _Entry(function, emptied, stateful)
            self._entries.move_to_end(place)
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)


def _gone(*_: Any, **__: Any) -> Any:
    raise RuntimeError("a cached plan was called without its function")
