"""The report as one HTML page that needs nothing else: no script, no other file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from jacengine.report import words
from jacengine.report.answers import answers, headline, verdict
from jacengine.report.case import Report, Row
from jacengine.report.figures.bars import bars
from jacengine.report.figures.scatter import scatter
from jacengine.report.standing import BASELINE, CLOSE, Standing, strategies, wins
from jacengine.report.terminal import outcomes
from jacengine.report.words import Name, clipped

TEMPLATES = Path(__file__).parents[1] / "templates"


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
    standings = [Standing.of(case) for case in report.cases]
    return environment.get_template("report.html.jinja").render(
        report=report,
        standings=standings,
        headline=headline(standings),
        answers=answers(report, standings),
        numbers=_numbers(standings),
        strategies=strategies(standings),
        grade=_grade,
        outcomes=outcomes,
        verdict=verdict,
        question=_question,
        bars=bars,
        scatter=scatter,
        baseline=BASELINE,
    )


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


def _numbers(standings: Sequence[Standing]) -> list[tuple[str, str]]:
    """List the few figures that stand out, each with what it is."""
    solved = [s for s in standings if s.winner is not None]
    if not solved:
        return []
    said = [
        (
            f"{len(solved)} of {len(standings)}",
            "problems solved, every result verified",
        ),
        (f"{len(wins(standings))}", "strategies are the fastest somewhere"),
    ]
    gains = [s.gain for s in solved if s.gain is not None]
    if gains:
        said.append(
            (words.ratio(median(gains)), f"as fast as {BASELINE}, in the median")
        )
    slowest = [s.relative(s.ranked[-1]) or 1.0 for s in solved]
    said.append(
        (words.ratio(max(slowest)), "from the best to the worst choice, at most")
    )
    return said


def _question(standing: Standing) -> str:
    """Say in figures what was computed."""
    case = standing.case
    if case.outputs is None or case.inputs is None:
        return ""
    count = words.count
    samples = "" if case.samples is None else f"{count(case.samples, 'sample')} of "
    sides = count(case.outputs, "output"), count(case.inputs, "input")
    entries = f" {words.TIMES} ".join(sides)
    result = "" if case.result_bytes is None else f", {words.size(case.result_bytes)}"
    return f"{samples}{entries}{result}"


_FILTERS: dict[str, Any] = {
    "seconds": words.seconds,
    "size": words.size,
    "ratio": words.ratio,
    "breakable": _breakable,
    "clipped": clipped,
    "unbroken": _unbroken,
}
_TESTS: dict[str, Any] = {"name": lambda part: isinstance(part, Name)}
