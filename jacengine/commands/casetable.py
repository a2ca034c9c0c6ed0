"""One finished case as a table for the terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jacengine.problem.quantity import TITLES
from jacengine.report.case import Case, Row
from jacengine.report.formatting import one_line, ratio, seconds, size
from jacengine.report.ranking import Ranking

NOTE = 70
"""Characters of a reason that a table shows; the report has all of it."""


def print_case(case: Case, console: Console) -> None:
    """Print who was right, from fast to slow, and what became of the others."""
    console.print(f"\n[bold]{escape(one_line(case.name))}[/]  {_asked(case)}")
    if case.failure:
        console.print(one_line(case.failure), style="red", markup=False)
    if case.unstable:
        console.print("unstable: other work disturbed these times", style="yellow")
    right, others = _parted(case)
    if right:
        console.print(_table(case, right))
    for outcome, rows in others.items():
        told = ", ".join(_told(row) for row in rows)
        console.print(f"{outcome}: {told}", style="dim", markup=False, soft_wrap=True)


def _asked(case: Case) -> str:
    parts = [one_line(case.description)]
    if case.outputs is not None and case.inputs is not None:
        samples = "" if case.samples is None else f", {case.samples} samples"
        parts.append(
            f"{TITLES[case.quantity]} of {case.outputs} x {case.inputs}{samples}: "
            f"{size(case.result_bytes)}."
        )
    return escape(" ".join(filter(None, parts)))


def _parted(case: Case) -> tuple[list[Row], dict[str, list[Row]]]:
    """Return the right rows in order, and the others by outcome."""
    rows = Ranking(case).rows
    others: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.outcome != "ok":
            others[row.outcome].append(row)
    return [row for row in rows if row.outcome == "ok"], others


def _table(case: Case, rows: Sequence[Row]) -> Table:
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    drawn.add_column("method", no_wrap=True)
    for title in ("chunk", "time", "of best", "peak"):
        drawn.add_column(title, justify="right", no_wrap=True)
    drawn.add_column("notes", overflow="fold")
    ranking = Ranking(case)
    for row in rows:
        drawn.add_row(*map(escape, _cells(ranking, row)), style=_style(ranking, row))
    return drawn


def _cells(ranking: Ranking, row: Row) -> tuple[str, ...]:
    notes = [f"takes {row.picked}" if row.picked else "", row.notes]
    return (
        one_line(row.strategy),
        "" if row.chunk_size is None else str(row.chunk_size),
        seconds(row.time_s),
        ratio(ranking.relative_time(row)),
        size(row.memory_bytes),
        one_line("; ".join(filter(None, notes))),
    )


def _style(ranking: Ranking, row: Row) -> str:
    if row.kind == "auto":
        return "bold"
    if row is ranking.winner:
        return "green"
    return "cyan" if row.kind == "library" else ""


def _told(row: Row) -> str:
    reason = one_line(row.notes)[:NOTE]
    return f"{one_line(row.strategy)} ({reason})" if reason else one_line(row.strategy)
