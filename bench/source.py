"""The code of a workload, for readers of a report."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from jacengine.bench.workload import Workload


def workload_code(workload: Workload) -> str:
    """Return the code that builds a workload, the functions and classes it uses first.

    Followed are the names that the code refers to, within the folder of its file; each
    piece has its file's name above. Code whose source is not at hand (typed into a
    console) is left out.
    """
    build = inspect.unwrap(workload.build)
    found: dict[str, str] = {}
    _collect(build, _folder(build), found)
    return "\n\n\n".join(found.values())


def _collect(used: Any, folder: Path | None, found: dict[str, str]) -> None:
    """Add the code of a function or class, after that of what it refers to."""
    if folder is None or _folder(used) != folder:
        return
    key = f"{used.__module__}.{used.__qualname__}"
    if key in found:
        return
    code = _code(used)
    if code is None:
        return
    found[key] = code  # before what refers back to it
    for other in _references(used):
        _collect(other, folder, found)
    found[key] = found.pop(key)


def _folder(used: Any) -> Path | None:
    try:
        file = inspect.getsourcefile(used)
    except TypeError:
        return None
    return None if file is None else Path(file).parent


def _code(used: Any) -> str | None:
    try:
        if isinstance(used, FunctionType) and used.__name__ == "<lambda>":
            code = f"build = {_lambda(used)}"
        else:
            code = textwrap.dedent(inspect.getsource(used)).rstrip()
    except (OSError, SyntaxError):
        return None
    return f"# {used.__module__.replace('.', '/')}.py\n{code}"


def _lambda(function: FunctionType) -> str:
    """Cut a lambda out of its file: `inspect` knows only its lines."""
    lines, _ = inspect.findsource(function)
    text = "".join(lines)
    first = function.__code__.co_firstlineno
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Lambda) and node.lineno == first:
            cut = ast.get_source_segment(text, node)
            if cut is not None:
                return inspect.cleandoc(cut)
    raise OSError(f"no lambda in line {first}")


def _references(used: Any) -> Iterator[Any]:
    """Yield the functions and classes that a function or a class refers to."""
    functions: list[Any] = [used] if isinstance(used, FunctionType) else []
    if isinstance(used, type):
        functions += [f for f in vars(used).values() if isinstance(f, FunctionType)]
        yield from (base for base in used.__bases__ if base is not object)
    for function in functions:
        for name in _names(function.__code__):
            value = function.__globals__.get(name)
            if isinstance(value, FunctionType | type):
                yield inspect.unwrap(value)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
