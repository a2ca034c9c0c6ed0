"""The version: here and nowhere else; `pyproject.toml` reads it."""

from __future__ import annotations

__version__ = "0.2.0.dev0"
