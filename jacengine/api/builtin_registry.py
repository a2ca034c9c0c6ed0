"""The default registry: the built-in strategies and those of other distributions.

The only place, with `jacengine/__init__.py`, that knows the built-ins.
"""

from __future__ import annotations

from jacengine.registry import PluginLoader, Registry
from jacengine.strategies import BUILTIN, SECOND_ORDER

_REGISTRY = Registry((*BUILTIN, *SECOND_ORDER))
_PUBLISHED = PluginLoader(_REGISTRY)


def known_strategies() -> Registry:
    """Return the default registry; published strategies are loaded on first use."""
    _PUBLISHED.load()
    return _REGISTRY


def broken_plugins() -> dict[str, str]:
    """Return the published strategies that could not be loaded, with their errors."""
    _PUBLISHED.load()
    return dict(_PUBLISHED.broken)
