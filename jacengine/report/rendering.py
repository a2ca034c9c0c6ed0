"""Rendering of a report by a template: what HTML and Markdown have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from jacengine.report import formatting
from jacengine.report.case import Report
from jacengine.report.failures import failures
from jacengine.report.key_figures import headline
from jacengine.report.peer_comparison import peer_comparisons
from jacengine.report.ranking import Ranking
from jacengine.report.scaling import workload_series
from jacengine.report.sentences import (
    crossover_sentences,
    ranking_sentence,
    report_sentences,
)

TEMPLATES = Path(__file__).parents[1] / "templates"


def render(
    template: str,
    report: Report,
    rankings: Sequence[Ranking],
    *,
    filters: dict[str, Any],
    **values: Any,
) -> str:
    """Render a report.

    Args:
        template: The name of the template; HTML is escaped.
        report: The report, sanitized.
        rankings: The rankings of its cases.
        filters: Filters of the format, in addition to those of numbers.
        values: Values of the format, in addition to the common ones.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=template.endswith(".html.jinja"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    names = ("seconds", "size", "ratio", "truncated")
    environment.filters.update({name: getattr(formatting, name) for name in names})
    environment.filters.update(filters)
    series = workload_series(rankings)
    sized = {ranking for found in series for ranking in found.rankings}
    context: dict[str, Any] = {
        "report": report,
        "rankings": rankings,
        "series": series,
        "singles": [ranking for ranking in rankings if ranking not in sized],
        "headline": headline(rankings),
        "sentences": report_sentences(report, rankings),
        "peers": peer_comparisons(rankings),
        "failures": failures(rankings),
        "ranking_sentence": ranking_sentence,
        "crossover_sentences": crossover_sentences,
    }
    return environment.get_template(template).render(context | values)
