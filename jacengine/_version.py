"""The version of the installed distribution."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("jacengine")
except PackageNotFoundError:  # an uninstalled checkout
    __version__ = "0+unknown"
