"""One finished case as a table for the terminal."""

from __future__ import annotations

from collections import defaultdict

from rich.console import Console
from rich.markup import escape

from jacengine.commands.output import make_table
from jacengine.problem.quantity import TITLES
from jacengine.report.case import Case, Row
from jacengine.report.formatting import one_line, ratio, seconds, size
from jacengine.report.ranking import Ranking

_REASON_WIDTH = 70
"""Characters of a reason in the table; the report has all of it."""
_TITLES = ("method", "chunk", "time", "of best", "peak", "notes")


def print_case(case: Case, console: Console) -> None:
    """Print the correct candidates, from fast to slow, and the outcomes of others."""
    console.print(f"\n[bold]{escape(one_line(case.name))}[/]  {_describe(case)}")
    if case.failure:
        console.print(one_line(case.failure), style="red", markup=False)
    if case.unstable:
        console.print("unstable: other work disturbed these times", style="yellow")
    ranking = Ranking(case)
    correct = [row for row in ranking.rows if row.outcome == "ok"]
    if correct:
        cells = [_cells(ranking, row) for row in correct]
        styles = [_style(ranking, row) for row in correct]
        console.print(make_table(_TITLES, cells, numbers=_TITLES[1:5], styles=styles))
    others: defaultdict[str, list[str]] = defaultdict(list)
    for row in ranking.rows:
        if row.outcome != "ok":
            reason = one_line(row.notes)[:_REASON_WIDTH]
            name = one_line(row.strategy)
            others[row.outcome].append(f"{name} ({reason})" if reason else name)
    for outcome, names in others.items():
        text = f"{outcome}: {', '.join(names)}"
        console.print(text, style="dim", markup=False, soft_wrap=True)


def _describe(case: Case) -> str:
    parts = [one_line(case.description)]
    if case.outputs is not None and case.inputs is not None:
        samples = "" if case.samples is None else f", {case.samples} samples"
        parts.append(
            f"{TITLES[case.quantity]} of {case.outputs} x {case.inputs}{samples}: "
            f"{size(case.result_bytes)}."
        )
    return escape(" ".join(filter(None, parts)))


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
