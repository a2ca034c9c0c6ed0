"""Objects named as `MODULE:NAME`, and what went wrong in a user's module."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jacengine.errors import ArgumentError, nearest

_OTHERS = re.compile(r"/site-packages/|<frozen |/jacengine/|/importlib/")
"""Files whose lines are not the user's."""


def load_object(place: str) -> Any:
    """Import an object from a module, which may be in the current folder.

    Args:
        place: As `MODULE:NAME`.

    Raises:
        ArgumentError: The module cannot be imported or has no such name.
    """
    module_name, colon, name = place.partition(":")
    if not (module_name and colon and name):
        raise ArgumentError(
            f"{place!r}: expected MODULE:NAME, as in 'mymodels:build_mlp'."
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # at the end: nothing there may shadow other modules
    if module_name.endswith(".py"):
        named = module_name.removesuffix(".py").strip("./").replace("/", ".")
        raise ArgumentError(
            f"{place!r}: expected the name of a module, not a file: {named}:{name}."
        )
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise ArgumentError(
            f"{module_name!r} cannot be imported: {describe_error(error)}."
        ) from error
    if not hasattr(module, name):
        raise ArgumentError(
            f"{module_name!r} has no {name!r}.{nearest(name, vars(module))}"
        )
    return getattr(module, name)


def describe_error(error: BaseException) -> str:
    """Describe an exception, and the line of the user's that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not _OTHERS.search(f.filename.replace("\\", "/"))]
    said = f"{type(error).__name__}: {error}".removesuffix(": ").rstrip(".")
    if not own:
        return said
    return f"{said} ({Path(own[-1].filename).name}, line {own[-1].lineno})"


def call_of(built: Any) -> tuple[Callable[..., Any], tuple[Any, ...]] | None:
    """Read what a builder returned: `(fn, x)`, `(fn, x, y)` or `(fn, (x, y))`.

    Returns:
        The function and its arguments; `None` if it is something else.
    """
    if not (isinstance(built, tuple) and len(built) >= 2 and callable(built[0])):
        return None
    fn, *rest = built
    joined = len(rest) == 1 and isinstance(rest[0], tuple)
    return fn, rest[0] if joined else tuple(rest)
