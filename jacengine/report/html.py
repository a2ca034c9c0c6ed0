"""The report as one HTML page that needs nothing else: no script, no other file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from jacengine.problem.quantity import TITLES
from jacengine.report import formatting
from jacengine.report.case import Report, Row
from jacengine.report.failures import failures
from jacengine.report.figures.bars import bars
from jacengine.report.figures.growth import growth_figure
from jacengine.report.figures.overview import (
    floor_figure,
    gains_figure,
    regret_figure,
)
from jacengine.report.figures.scatter import scatter
from jacengine.report.formatting import Name, clipped
from jacengine.report.key_figures import numbers
from jacengine.report.peer_comparison import rivals
from jacengine.report.ranking import (
    BASELINE,
    CLOSE,
    Standing,
    competitors,
    wins,
)
from jacengine.report.scaling import all_series
from jacengine.report.sentence_verdicts import growth, verdict
from jacengine.report.sentences import answers, headline
from jacengine.report.terminal import outcomes

TEMPLATES = Path(__file__).parents[1] / "templates"
_HUES = 5
"""So many strategies that win somewhere have a colour of their own."""


def to_html(report: Report) -> str:
    """Write the page."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_FILTERS)
    environment.tests.update(_TESTS)
    environment.globals.update(_FUNCTIONS)
    standings = [Standing.of(case) for case in report.cases]
    return environment.get_template("report.html.jinja").render(
        report=report,
        headline=headline(standings),
        answers=answers(report, standings),
        numbers=numbers(standings),
        strategies=competitors(standings, "strategy"),
        libraries=competitors(standings, "library"),
        autos=competitors(standings, "auto"),
        failures=failures(standings),
        **_workloads(report, standings),
        **_singles(standings),
    )


def _workloads(report: Report, standings: Sequence[Standing]) -> dict[str, Any]:
    """Gather what is said of workloads in several sizes."""
    series = all_series(standings)
    sized = [standing for found in series for standing in found.standings]
    hues = _hues(sized)

    def hue(row: Row) -> str:
        return "library" if row.kind == "library" else hues.get(row.strategy, "")

    legend = list(hues.items())
    if any(s.winner and s.winner.kind == "library" for s in sized):
        legend.append(("another library", "library"))
    return {
        "series": series,
        "series_rows": [
            (f"workload-{number}", found.title, found.largest)
            for number, found in enumerate(series, start=1)
        ],
        "most_sizes": max((len(found.standings) for found in series), default=0),
        "hue": hue,
        "legend": legend,
        "regret": regret_figure(sized),
        "gains": gains_figure(sized),
        "rivals": [rival for rival in rivals(sized) if rival.factors],
        "floor": floor_figure(report, sized),
    }


def _hues(standings: Sequence[Standing]) -> dict[str, str]:
    """Give colours to the strategies that win most."""
    ours = {
        s.winner.strategy for s in standings if s.winner and s.winner.kind != "library"
    }
    won = [name for name, _ in wins(standings) if name in ours]
    return {name: f"hue-{place}" for place, name in enumerate(won[:_HUES], start=1)}


def _singles(standings: Sequence[Standing]) -> dict[str, Any]:
    """Gather what is said of problems that are not sizes of a workload."""
    sized = {id(s) for found in all_series(standings) for s in found.standings}
    singles = [standing for standing in standings if id(standing) not in sized]
    return {
        "singles": singles,
        "single_rows": [
            (f"problem-{number}", standing.case.name, standing)
            for number, standing in enumerate(singles, start=1)
        ],
    }


def _spread(times: Sequence[float]) -> str:
    """Write half of the middle half's width, as a share of the median."""
    lower, middle, upper = quantiles(times, n=4, method="inclusive")
    return formatting.percent((upper - lower) / 2 / middle) if middle else ""


def _breakable(name: str) -> Markup:
    """Let a long name be broken after its underscores."""
    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))


def _unbroken(text: str) -> str:
    """Keep a number on one line with what it counts."""
    return re.sub(r"(?<=\d) (?=[\w%])", "\N{NO-BREAK SPACE}", text)


def _grade(standing: Standing, row: Row | None) -> str:
    """Choose how strongly a cell of the matrix is shaded."""
    factor = standing.relative(row)
    if row is None or row.outcome != "ok" or factor is None:
        return "wrong" if row and row.outcome in {"wrong", "nonfinite"} else "none"
    if row is standing.winner:
        return "best"
    grades = ((CLOSE, "close"), (2.0, "near"), (10.0, "far"))
    return next((name for limit, name in grades if factor <= limit), "worst")


def _question(standing: Standing) -> str:
    """Say in figures what was computed."""
    case = standing.case
    if case.outputs is None or case.inputs is None:
        return ""
    count = formatting.count
    samples = "" if case.samples is None else f"{count(case.samples, 'sample')} of "
    sides = count(case.outputs, "output"), count(case.inputs, "input")
    entries = f" {formatting.TIMES} ".join(sides)
    result = (
        "" if case.result_bytes is None else f", {formatting.size(case.result_bytes)}"
    )
    title = TITLES[case.quantity]
    return f"{title}: {samples}{entries}{result}"


_FILTERS: dict[str, Any] = {
    "seconds": formatting.seconds,
    "size": formatting.size,
    "ratio": formatting.ratio,
    "breakable": _breakable,
    "clipped": clipped,
    "spread": _spread,
    "unbroken": _unbroken,
}
_TESTS: dict[str, Any] = {"name": lambda part: isinstance(part, Name)}
_FUNCTIONS: dict[str, Any] = {
    "bars": bars,
    "baseline": BASELINE,
    "grade": _grade,
    "growth": growth,
    "growth_figure": growth_figure,
    "outcomes": outcomes,
    "question": _question,
    "scatter": scatter,
    "verdict": verdict,
}
