"""Tables for the terminal: of one case, of all, and of the regret of `auto`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape

from jacengine.problem.quantity import TITLES
from jacengine.report.case import Case, Row
from jacengine.report.formatting import one_line, ratio, seconds, size, truncated
from jacengine.report.ranking import Ranking, time_ratio
from jacengine.tables import Table, hanging

_MAX_WIDTH = 40
_REASON_WIDTH = 70
"""Characters of a reason in the table of a case; the report has all of it."""
_CASE_TITLES = ("method", "chunk", "time", "of best", "peak", "notes")


def make_table(
    titles: Sequence[str],
    rows: Iterable[Iterable[str]],
    *,
    numbers: Sequence[str] = (),
    styles: Sequence[str] = (),
    notes: str | None = None,
) -> Table:
    """Make a table of cells that may be foreign text; see `Table`."""
    cells = [tuple(map(one_line, row)) for row in rows]
    return Table(titles, cells, numbers, styles, notes)


def summary_table(cases: Sequence[Case]) -> Table:
    """Tabulate the fastest method of each case, and its lead."""
    rankings = [Ranking(case) for case in cases]
    numbers = ("time", "peak", "runner-up", "plain loop")
    return make_table(
        ("problem", "fastest", *numbers, "strategies"),
        map(_summary, rankings),
        numbers=numbers,
        styles=["" if ranking.winner else "red" for ranking in rankings],
    )


def _summary(ranking: Ranking) -> tuple[str, ...]:
    winner = ranking.winner
    about = "≈ " if ranking.extrapolated and ranking.speedup else ""
    return (
        truncated(one_line(ranking.case.name), _MAX_WIDTH),
        truncated(one_line(winner.strategy), _MAX_WIDTH) if winner else "none",
        seconds(winner.time_s if winner else None),
        size(winner.memory_bytes if winner else None),
        ratio(ranking.relative_time(ranking.runner_up)),
        f"{about}{ratio(ranking.speedup)}",
        outcome_counts(ranking),
    )


def outcome_counts(ranking: Ranking) -> str:
    """Count the outcomes of the competitors: `9 correct, 1 unsupported`."""
    found = ranking.outcomes("strategy", "library")
    counted = sorted(found.items(), key=lambda item: item[0] != "ok")
    words = {"ok": "correct", "over_budget": "over budget", "oom": "out of memory"}
    return ", ".join(f"{number} {words.get(name, name)}" for name, number in counted)


def regret_table(cases: Sequence[Case]) -> Table:
    """Tabulate the time of `auto` over those of the best strategy and library.

    The last columns give the time of the selection, and the number of runs of the best
    strategy that it equals.
    """
    numbers = ("auto", "/ best", "/ library", "chosen in", "runs")
    titles = ("problem", "auto takes", "best strategy", "best library", *numbers)
    return make_table(titles, map(_regret, map(Ranking, cases)), numbers=numbers)


def _regret(ranking: Ranking) -> tuple[str, ...]:
    auto, best = ranking.best("auto"), ranking.best("strategy")
    library, cost_s = ranking.best("library"), ranking.case.selection_s
    return (
        ranking.case.name,
        auto.picked if auto else "none",
        best.strategy if best else "none",
        library.strategy if library else "none",
        seconds(auto.time_s if auto else None),
        ratio(time_ratio(auto, best)),
        ratio(time_ratio(auto, library)),
        seconds(cost_s),
        f"{cost_s / best.time_s:.0f}" if cost_s and best and best.time_s else "",
    )


def print_case(case: Case, console: Console) -> None:
    """Print the correct candidates, from fast to slow, and the outcomes of others."""
    console.print(f"\n[bold]{escape(one_line(case.name))}[/]  {_describe(case)}")
    if case.failure:
        reason, style = one_line(case.failure), "yellow" if case.skipped else "red"
        reason = f"skipped: {reason}" if case.skipped else reason
        console.print(hanging(reason, style, console))
    if case.unstable:
        console.print("unstable: other work disturbed these times", style="yellow")
    ranking = Ranking(case)
    others: defaultdict[str, list[str]] = defaultdict(list)
    for row in ranking.rows:
        if row.outcome != "ok":
            reason = one_line(row.notes)[:_REASON_WIDTH]
            name = one_line(row.strategy)
            others[row.outcome].append(f"{name} ({reason})" if reason else name)
    if correct := [row for row in ranking.rows if row.outcome == "ok"]:
        cells = [_cells(ranking, row) for row in correct]
        styles = [_style(ranking, row) for row in correct]
        numbers = _CASE_TITLES[1:5]
        table = make_table(
            _CASE_TITLES, cells, numbers=numbers, styles=styles, notes=_CASE_TITLES[-1]
        )
        console.print(table)
    for outcome, names in others.items():
        console.print(hanging(f"{outcome}: {', '.join(names)}", "dim", console))


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
        row.strategy,
        "" if row.chunk_size is None else str(row.chunk_size),
        seconds(row.time_s),
        ratio(ranking.relative_time(row)),
        size(row.memory_bytes),
        "; ".join(filter(None, notes)),
    )


def _style(ranking: Ranking, row: Row) -> str:
    if row.kind == "auto":
        return "bold"
    if row is ranking.winner:
        return "green"
    return "cyan" if row.kind == "library" else ""
