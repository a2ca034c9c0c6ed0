"""Libraries that are compared with, or bring data, and may not be installed.

They are imported by name, when they are used, so that this package and its type checks
are the same without them.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any


def peer(module: str) -> Any:
    """Import a module of a library that is installed."""
    return importlib.import_module(module)


def installed(library: str) -> bool:
    """Say whether a library can be imported, without importing it."""
    return importlib.util.find_spec(library) is not None


def absent(library: str) -> str | None:
    """Say that a library is not installed and how to install it, if so."""
    if installed(library):
        return None
    return f"{library} is not installed; pip install 'jacengine[peers]', or make peers"
