"""Optional libraries: compared with, or sources of data, and possibly not installed.

They are imported by name when they are used, so that this package and its type checks
do not depend on them.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any


def load(module: str) -> Any:
    """Import a module of an installed library."""
    return importlib.import_module(module)


def installed(library: str) -> bool:
    """Return whether a library can be imported, without importing it."""
    return importlib.util.find_spec(library) is not None


def reason_missing(*libraries: str) -> str | None:
    """Return which library is not installed and how to install it, if any."""
    for library in libraries:
        if not installed(library):
            how = "pip install 'jacengine[peers]', or make peers"
            return f"{library} is not installed; {how}"
    return None
