"""Reads the code blocks of a page, and runs them."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from types import ModuleType
from typing import Any

_BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n*^```text\n(?P<output>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A block of Python, and the output that the page shows for it."""

    code: str
    line: int
    output: str | None


def blocks(text: str) -> Iterator[Block]:
    """Iterate over the blocks of a page."""
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("code"))
        yield Block(found["code"], line, found["output"])


@contextmanager
def namespace() -> Generator[dict[str, Any]]:
    """Give the blocks of a page a namespace: that of a module, as TorchDynamo needs."""
    module = ModuleType("page")
    sys.modules[module.__name__] = module
    try:
        yield vars(module)
    finally:
        del sys.modules[module.__name__]


def run(block: Block, page: str, names: dict[str, Any]) -> str:
    """Run a block in a namespace, and return what it prints.

    An error names the line of the page.
    """
    source = "\n" * block.line + block.code
    with redirect_stdout(io.StringIO()) as printed:
        exec(compile(source, page, "exec", dont_inherit=True), names)  # noqa: S102
    return printed.getvalue()
