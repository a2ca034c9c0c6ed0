"""The table of what `auto` loses against the best it could take, case by case."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from jacengine.report.case import Case, Row
from jacengine.report.formatting import one_line, ratio, seconds


def regret_table(cases: Sequence[Case]) -> Table:
    """Lay out `auto` against the best strategy and the best library.

    The last columns tell what the choice took, and how many runs of the best strategy
    that is.
    """
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("problem", "auto takes", "best strategy", "best library"):
        drawn.add_column(title, overflow="fold")
    for title in ("auto", "/ best", "/ library", "chosen in", "runs"):
        drawn.add_column(title, justify="right", no_wrap=True)
    for case in cases:
        drawn.add_row(*map(escape, _cells(case)))
    return drawn


def _cells(case: Case) -> tuple[str, ...]:
    auto, best, library = (_best(case, k) for k in ("auto", "strategy", "library"))
    cost, each = case.selection_s, best.time_s if best is not None else None
    return (
        one_line(case.name),
        one_line(auto.picked) if auto is not None else "none",
        one_line(best.strategy) if best is not None else "none",
        one_line(library.strategy) if library is not None else "none",
        seconds(auto.time_s if auto is not None else None),
        ratio(_over(auto, best)),
        ratio(_over(auto, library)),
        seconds(cost),
        f"{cost / each:.0f}" if cost and each else "",
    )


def _best(case: Case, kind: str) -> Row | None:
    """Return the fastest right row of a kind."""
    right = [r for r in case.rows if r.kind == kind and r.outcome == "ok" and r.time_s]
    return min(right, key=lambda row: row.time_s or math.inf, default=None)


def _over(row: Row | None, other: Row | None) -> float | None:
    if row is None or other is None or not row.time_s or not other.time_s:
        return None
    return row.time_s / other.time_s
