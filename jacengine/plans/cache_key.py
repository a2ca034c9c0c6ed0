"""What a choice of method depends on, as text: the key of the cache.

Two calls with the same key are answered by the same choice, in this process or another,
after one projection has verified it. So everything that could change the fastest right
method is in the key, and nothing else: no values of tensors, no addresses.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import os
import platform
import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn

from jacengine import pytrees
from jacengine._version import __version__
from jacengine.plans.request import PlanRequest
from jacengine.plans.serialization import describe_options
from jacengine.problem.signature import Signature
from jacengine.registry import ENTRY_POINTS

SCHEMA = 3
"""Version of the key and of what is stored under it."""


def key_of(request: PlanRequest, signature: Signature) -> str:
    """Write the key of a call as JSON, the same for equal calls."""
    settings = {
        "budget": request.memory_budget,
        "compiled": request.compiled is True,
        "effort": request.effort,
        "jacengine": __version__,
    }
    key = {
        "schema": SCHEMA,
        "settings": {name: str(value) for name, value in settings.items()},
        "torch": torch.__version__,
        "plugins": sorted(
            f"{p.name}={p.dist.version if p.dist else '?'}"
            for p in entry_points(group=ENTRY_POINTS)
        ),
        "machine": [
            platform.machine(),
            _processor(),
            *map(torch.cuda.get_device_name, range(torch.cuda.device_count())),
        ],
        "flags": list(map(str, signature.flags)),
        "options": describe_options(request.options),
        "strategies": [
            f"{type(c.strategy).__module__}:{c.strategy!r}:{c.gradient}"
            for c in request.compositions
        ],
        "structure": str(signature.structure.spec),
        "leaves": list(
            map(_leaf, pytrees.flatten_call(request.args, request.kwargs)[0])
        ),
        "training": _digest(signature.training),
        "function": list(_function(request.fn)),
    }
    return json.dumps(key, sort_keys=True)


@functools.cache
def _processor() -> str:
    """Name the processor and count its cores; a home folder may serve many machines."""
    name = platform.processor()
    try:
        facts = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        found = re.search(r"^model name\s*:\s*(.*)$", facts, re.MULTILINE)
        name = found[1] if found else name
    except OSError:  # not Linux
        pass
    return f"{name} x {os.cpu_count()}"


def _leaf(leaf: object) -> str:
    if isinstance(leaf, Tensor):
        strided = leaf.layout == torch.strided
        layout = leaf.stride() if strided else leaf.layout
        return f"{tuple(leaf.shape)} {layout} {leaf.dtype} {leaf.device}"
    return type(leaf).__qualname__


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:32]


def _function(fn: Any, depth: int = 0) -> Iterator[str]:
    """Describe a callable by its code and by the structure of what it captures."""
    if isinstance(fn, nn.Module):
        yield _module(fn)
    elif isinstance(fn, functools.partial):
        yield "partial"
        yield from _function(fn.func, depth)
        yield from (_captured(value, depth) for value in fn.args)
        for name, value in fn.keywords.items():
            yield f"{name}={_captured(value, depth)}"
    elif inspect.ismethod(fn):
        yield _captured(fn.__self__, depth)
        yield from _function(fn.__func__, depth)
    elif inspect.isfunction(fn):
        yield f"{fn.__module__}.{fn.__qualname__} {_code(fn.__code__)}"
        for cell in fn.__closure__ or ():
            try:
                yield _captured(cell.cell_contents, depth)
            except ValueError:  # a name that is bound later
                yield "unbound"
        yield from (_captured(value, depth) for value in fn.__defaults__ or ())
    else:
        yield f"{type(fn).__module__}.{type(fn).__qualname__} {fn!r:.80}"


def _code(code: CodeType) -> str:
    constants = [
        _code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts
    ]
    return _digest((code.co_code, constants, code.co_names, code.co_varnames))


def _captured(value: object, depth: int) -> str:
    """Describe a captured value: tensors by shape, modules by structure."""
    if isinstance(value, Tensor):
        return _leaf(value)
    if isinstance(value, nn.Module):
        return _module(value)
    if isinstance(value, bool | int | float | str | None):
        return repr(value)
    if callable(value) and depth < 3:
        return _digest(list(_function(value, depth + 1)))
    return type(value).__qualname__


def _module(module: nn.Module) -> str:
    """Describe a module by its classes, their settings, its parameters and buffers."""
    classes = [
        (name, f"{type(m).__module__}.{type(m).__qualname__}", m.extra_repr())
        for name, m in module.named_modules()
    ]
    forwards = {inspect.getattr_static(m, "forward") for m in module.modules()}
    code = sorted(_code(f.__code__) for f in forwards if inspect.isfunction(f))
    tensors = [
        (name, _leaf(t), t.requires_grad)
        for name, t in (*module.named_parameters(), *module.named_buffers())
    ]
    return _digest((classes, code, tensors))
