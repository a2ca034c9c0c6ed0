"""The report as one self-contained HTML page without scripts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from jacengine.problem.quantity import TITLES
from jacengine.report import formatting
from jacengine.report.case import Report, Row
from jacengine.report.figures.bars import time_bars
from jacengine.report.figures.growth import growth_figure
from jacengine.report.figures.overview import (
    library_figure,
    regret_figure,
    roofline_figure,
)
from jacengine.report.figures.scatter import memory_scatter
from jacengine.report.key_figures import key_figures
from jacengine.report.ranking import (
    BASELINE,
    CLOSE,
    WRONG,
    Ranking,
    competitors,
    wins,
)
from jacengine.report.rendering import render
from jacengine.report.terminal import outcome_counts

_HUES = 5
"""The number of winning strategies with a colour of their own."""


def to_html(report: Report) -> str:
    """Write the page."""
    rankings = [Ranking(case) for case in report.cases]
    sized = [r for r in rankings if r.case.workload and r.case.size is not None]
    ours = {r.winner.strategy for r in sized if r.winner and r.winner.kind != "library"}
    won = [name for name, _ in wins(sized) if name in ours]
    hues = {name: f"hue-{place}" for place, name in enumerate(won[:_HUES], start=1)}
    legend = list(hues.items())
    if any(r.winner and r.winner.kind == "library" for r in sized):
        legend.append(("another library", "library"))

    def hue(row: Row) -> str:
        return "library" if row.kind == "library" else hues.get(row.strategy, "")

    return render(
        "report.html.jinja",
        report,
        rankings,
        filters=_FILTERS,
        key_figures=key_figures(rankings),
        strategies=competitors(rankings, "strategy"),
        libraries=competitors(rankings, "library"),
        autos=competitors(rankings, "auto"),
        hue=hue,
        legend=legend,
        regret=regret_figure(sized),
        speedups=library_figure(sized),
        roofline=roofline_figure(report, sized),
        **_FUNCTIONS,
    )


def _spread(times: Sequence[float]) -> str:
    """Format half of the interquartile range as a share of the median."""
    lower, middle, upper = np.quantile(times, (0.25, 0.5, 0.75))
    return formatting.percent((upper - lower) / 2 / middle) if middle else ""


def _breakable(name: str) -> Markup:
    """Allow line breaks after the underscores of a name."""
    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))


def _code(name: str) -> Markup:
    return Markup("<code>{}</code>").format(_breakable(formatting.truncated(name, 60)))


def _unbroken(text: str) -> str:
    """Keep a number on one line with its noun or unit."""
    return re.sub(r"(?<=\d) (?=[\w%])", "\N{NO-BREAK SPACE}", text)


def _sentence(sentence: str) -> Markup:
    """Format the names of a sentence as code."""
    # Both formats escape their text.
    return Markup(  # noqa: S704
        formatting.render_names(sentence, _code, lambda text: escape(_unbroken(text)))
    )


def _grade(ranking: Ranking, row: Row | None) -> str:
    """Choose the shade of a cell of the matrix."""
    factor = ranking.relative_time(row)
    if row is None or row.outcome != "ok" or factor is None:
        return "wrong" if row and row.outcome in WRONG else "none"
    if row is ranking.winner:
        return "best"
    grades = ((CLOSE, "close"), (2.0, "near"), (10.0, "far"))
    return next((name for limit, name in grades if factor <= limit), "worst")


def _dimensions(ranking: Ranking) -> str:
    """Format the kind of derivative and its dimensions."""
    case, count = ranking.case, formatting.count
    if case.outputs is None or case.inputs is None:
        return ""
    samples = "" if case.samples is None else f"{count(case.samples, 'sample')} of "
    sides = count(case.outputs, "output"), count(case.inputs, "input")
    entries = f" {formatting.TIMES} ".join(sides)
    known = case.result_bytes is not None
    result = f", {formatting.size(case.result_bytes)}" if known else ""
    return f"{TITLES[case.quantity]}: {samples}{entries}{result}"


_FILTERS: dict[str, Any] = {
    "breakable": _breakable,
    "code": _code,
    "sentence": _sentence,
    "spread": _spread,
    "unbroken": _unbroken,
}
_FUNCTIONS: dict[str, Any] = {
    "baseline": BASELINE,
    "dimensions": _dimensions,
    "grade": _grade,
    "growth_figure": growth_figure,
    "memory_scatter": memory_scatter,
    "outcome_counts": outcome_counts,
    "time_bars": time_bars,
}
