"""The gallery: each program in `examples/`, with what it shows and its source."""

from __future__ import annotations

import ast

from docs.generate.sections import ROOT


def gallery() -> str:
    """Write an entry for each example; MkDocs includes the sources."""
    return "\n\n".join(
        _entry(path.stem, path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / "examples").glob("*.py"))
    )


def _entry(name: str, source: str) -> str:
    says = ast.get_docstring(ast.parse(source))
    return f"""\
## {name}

{says}

??? note "examples/{name}.py"

    ```py
    --8<-- "examples/{name}.py"
    ```"""
