"""The summary of a report as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from jacengine.report.case import Case
from jacengine.report.formatting import clipped, one_line, ratio, seconds, size
from jacengine.report.ranking import Standing

WIDEST = 40


def summary_table(cases: Sequence[Case]) -> Table:
    """Lay out who is the fastest on each case, and by how much."""
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("problem", "fastest"):
        drawn.add_column(title, overflow="fold")
    for title in ("time", "peak", "runner-up", "plain loop"):
        drawn.add_column(title, justify="right", no_wrap=True)
    drawn.add_column("strategies", overflow="fold")
    for case in cases:
        standing = Standing.of(case)
        winner = standing.winner
        about = "≈ " if standing.estimated and standing.gain else ""
        cells = (
            clipped(one_line(case.name), WIDEST),
            clipped(one_line(winner.strategy), WIDEST) if winner else "none",
            seconds(winner.time_s if winner else None),
            size(winner.memory_bytes if winner else None),
            ratio(standing.relative(standing.runner_up)),
            f"{about}{ratio(standing.gain)}",
            outcomes(standing),
        )
        drawn.add_row(*map(escape, cells), style="" if winner else "red")
    return drawn


def outcomes(standing: Standing) -> str:
    """Count what became of the competitors: `9 right, 1 unsupported`."""
    found = standing.outcomes("strategy", "library")
    counted = sorted(found.items(), key=lambda item: item[0] != "ok")
    words = {"ok": "right", "over_budget": "over budget", "oom": "out of memory"}
    return ", ".join(f"{number} {words.get(name, name)}" for name, number in counted)
