"""The generators of sections, by name."""

from __future__ import annotations

from collections.abc import Callable

from docs.generate.gallery import gallery

GENERATORS: dict[str, Callable[[], str]] = {"gallery": gallery}
