"""The summary of a report as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from jacengine.report.case import Case
from jacengine.report.formatting import one_line, ratio, seconds, size, truncated
from jacengine.report.ranking import Ranking

MAX_WIDTH = 40


def summary_table(cases: Sequence[Case]) -> Table:
    """Tabulate the fastest method of each case, and its lead."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("problem", "fastest"):
        table.add_column(title, overflow="fold")
    for title in ("time", "peak", "runner-up", "plain loop"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("strategies", overflow="fold")
    for ranking in map(Ranking, cases):
        winner = ranking.winner
        about = "≈ " if ranking.extrapolated and ranking.speedup else ""
        cells = (
            truncated(one_line(ranking.case.name), MAX_WIDTH),
            truncated(one_line(winner.strategy), MAX_WIDTH) if winner else "none",
            seconds(winner.time_s if winner else None),
            size(winner.memory_bytes if winner else None),
            ratio(ranking.relative_time(ranking.runner_up)),
            f"{about}{ratio(ranking.speedup)}",
            outcome_counts(ranking),
        )
        table.add_row(*map(escape, cells), style="" if winner else "red")
    return table


def outcome_counts(ranking: Ranking) -> str:
    """Count the outcomes of the competitors: `9 correct, 1 unsupported`."""
    found = ranking.outcomes("strategy", "library")
    counted = sorted(found.items(), key=lambda item: item[0] != "ok")
    words = {"ok": "correct", "over_budget": "over budget", "oom": "out of memory"}
    return ", ".join(f"{number} {words.get(name, name)}" for name, number in counted)
