"""The regret of `auto`: its time against the best that it could choose, by case."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from jacengine.commands.output import make_table
from jacengine.report.case import Case, Kind, Row
from jacengine.report.formatting import one_line, ratio, seconds
from jacengine.report.ranking import Ranking

_KINDS: tuple[Kind, ...] = ("auto", "strategy", "library")
_NUMBERS = ("auto", "/ best", "/ library", "chosen in", "runs")


def regret_table(cases: Sequence[Case]) -> Table:
    """Return the times of `auto` over those of the best strategy and library.

    The last columns give the time of the selection, and the number of runs of the best
    strategy that it equals.
    """
    titles = ("problem", "auto takes", "best strategy", "best library", *_NUMBERS)
    return make_table(titles, map(_cells, cases), numbers=_NUMBERS)


def _cells(case: Case) -> tuple[str, ...]:
    standing = Ranking(case)
    auto, best, library = (standing.best(kind) for kind in _KINDS)
    cost_s, each_s = case.selection_s, best.time_s if best is not None else None
    return (
        one_line(case.name),
        one_line(auto.picked) if auto is not None else "none",
        one_line(best.strategy) if best is not None else "none",
        one_line(library.strategy) if library is not None else "none",
        seconds(auto.time_s if auto is not None else None),
        ratio(_over(auto, best)),
        ratio(_over(auto, library)),
        seconds(cost_s),
        f"{cost_s / each_s:.0f}" if cost_s and each_s else "",
    )


def _over(row: Row | None, other: Row | None) -> float | None:
    if row is None or other is None or not row.time_s or not other.time_s:
        return None
    return row.time_s / other.time_s
