"""The table of what `auto` loses against the best, case by case."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from jacengine.report.case import Case
from jacengine.report.standing import Standing
from jacengine.report.words import one_line, ratio, seconds


def regret_table(cases: Sequence[Case]) -> Table:
    """Lay out what `auto` took, what the best took, and what the choice cost."""
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("problem", "auto takes", "best"):
        drawn.add_column(title, overflow="fold")
    for title in ("auto", "best", "auto / best", "chosen in", "runs' worth"):
        drawn.add_column(title, justify="right", no_wrap=True)
    for case in cases:
        drawn.add_row(*map(escape, _cells(case)))
    return drawn


def _cells(case: Case) -> tuple[str, ...]:
    standing = Standing.of(case)
    auto, best = standing.auto, standing.winner
    lost = standing.relative(auto)
    cost = case.selection_s
    worth = cost / best.time_s if cost and best is not None and best.time_s else None
    return (
        one_line(case.name),
        one_line(auto.picked) if auto is not None else "none",
        one_line(best.strategy) if best is not None else "none",
        seconds(auto.time_s if auto is not None else None),
        seconds(best.time_s if best is not None else None),
        ratio(lost),
        seconds(cost),
        "" if worth is None else f"{worth:.0f}",
    )
