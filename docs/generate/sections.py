"""Finds generated sections in Markdown files, and replaces their contents.

A section lies between `<!-- generated: NAME -->` and `<!-- end -->`. It is committed,
so that a page reads well without a build; a test compares it with what is generated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
_SECTION = re.compile(
    r"(<!-- generated: ([\w-]+) -->\n)(.*?)(<!-- end -->\n)", re.DOTALL
)


def pages() -> Iterator[Path]:
    """Iterate over the README and the pages of the documentation."""
    yield ROOT / "README.md"
    yield from sorted((ROOT / "docs").rglob("*.md"))


def updated(text: str, generators: Mapping[str, Callable[[], str]]) -> str:
    """Return a page with the contents of its sections generated anew.

    Raises:
        KeyError: There is no generator of a section's name.
    """

    def fill(section: re.Match[str]) -> str:
        begin, name, _, end = section.groups()
        return f"{begin}{generators[name]().strip()}\n{end}"

    return _SECTION.sub(fill, text)
