"""What each strategy is and does, from the docstring of its file."""

from __future__ import annotations

import inspect
import re
import sys

from jacengine.api.strategies import known_strategies
from jacengine.interface import Strategy
from jacengine.strategies import BUILTIN

_DIRECTIONS = {
    "jvp": "forward",
    "vjp": "reverse",
    "direct": "direct",
    "trace": "forward",
}


def table() -> str:
    """Write a table of the strategies of first order."""
    names = known_strategies().names()
    rows = (known_strategies().get(name) for name in names)
    return "\n".join(
        (
            "| strategy | what it does | direction | wins with |",
            "|---|---|---|---|",
            *(
                f"| [`{row.name}`](#{row.name}) | {row.summary} | "
                f"{_DIRECTIONS[row.capabilities.mode]} | {row.wins} |"
                for row in rows
            ),
        )
    )


def descriptions() -> str:
    """Write a section for each strategy: formula, cost, memory, source."""
    return "\n\n".join(map(_section, BUILTIN))


def _section(strategy: Strategy) -> str:
    text = inspect.getdoc(sys.modules[type(strategy).__module__]) or ""
    text = re.sub(r"(https://\S+?)(?=[;.,]?(?:\s|$))", r"<\1>", text)
    return f"### {strategy.name} {{ #{strategy.name} }}\n\n{text.strip()}"


def second_order() -> str:
    """Write a table of the compositions for Hessians."""
    names = known_strategies().names("hessian")
    rows = (known_strategies().get(name) for name in names)
    return "\n".join(
        (
            "| strategy | what it does |",
            "|---|---|",
            *(f"| `{row.name}` | {row.summary} |" for row in rows),
        )
    )
