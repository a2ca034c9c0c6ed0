"""The report as one self-contained HTML page, and as Markdown."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from jacengine._version import __version__
from jacengine.bench.source import workload_code
from jacengine.bench.workloads import WORKLOADS
from jacengine.problem.quantity import TITLES
from jacengine.report.case import Case, Report, Row
from jacengine.report.failures import failures
from jacengine.report.figures.bars import time_bars
from jacengine.report.figures.growth import growth_figure
from jacengine.report.figures.overview import (
    library_figure,
    regret_figure,
    roofline_figure,
)
from jacengine.report.figures.scatter import memory_scatter
from jacengine.report.formatting import (
    TIMES,
    count,
    ratio,
    render_names,
    seconds,
    size,
    spread,
    truncated,
)
from jacengine.report.key_figures import headline, key_figures
from jacengine.report.lead import lead, measured_on, rounds
from jacengine.report.peer_comparison import comparisons, peer_comparisons
from jacengine.report.ranking import (
    BASELINE,
    CLOSE,
    WRONG,
    Ranking,
    competitors,
    wins,
)
from jacengine.report.results import to_json
from jacengine.report.scaling import workload_series
from jacengine.report.sentences import (
    crossover_sentences,
    ranking_sentence,
    report_sentences,
)
from jacengine.report.terminal import outcome_counts

_TEMPLATES = Path(__file__).parents[1] / "templates"
_HUES = 5
"""The number of winning strategies with a colour of their own."""
_FILTERS: dict[str, Any] = {
    "seconds": seconds,
    "size": size,
    "ratio": ratio,
    "truncated": truncated,
}
_ADDRESS = re.compile(r"(https://[\w.-]+/[\w./%()~-]*[\w/])")
_PLAIN = re.compile(r"[\w.:+()/-](?:[\w .:+()/-]*[\w.:+()/-])?")
_SPECIAL = re.compile(
    r"[\\`*\[\]#~|$!@]|(?<!\w)_|_(?!\w)|^[-+=](?=[ -])|^\d+(?=[.)](?:\s|$))"
)


def to_html(report: Report) -> str:
    """Write the page of a sanitized report."""
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

    script = (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    return _render(
        "report.html.jinja",
        report,
        rankings,
        filters=_HTML_FILTERS,
        key_figures=key_figures(rankings),
        strategies=competitors(rankings, "strategy"),
        libraries=competitors(rankings, "library"),
        autos=competitors(rankings, "auto"),
        hue=hue,
        legend=legend,
        regret=regret_figure(sized),
        speedups=library_figure(sized),
        roofline=roofline_figure(report, sized),
        baseline=BASELINE,
        dimensions=_dimensions,
        grade=_grade,
        growth_figure=growth_figure,
        memory_scatter=memory_scatter,
        outcome_counts=outcome_counts,
        time_bars=time_bars,
        code_for=_code_for,
        files=_files,
        version=__version__,
        data=_data_uri(report),
        script=Markup(script),  # noqa: S704 - it is ours
        script_hash=_script_hash(f"\n{script}"),
    )


def to_markdown(report: Report) -> str:
    """Write Markdown; of workloads in several sizes, without every candidate."""
    rankings = [Ranking(case) for case in report.cases]
    filters = {
        "code": _markdown_code,
        "escaped": _markdown_escaped,
        "sentence": _markdown_sentence,
        "timed": _timed,
    }
    return _render("report.md.jinja", report, rankings, filters=filters)


def _render(
    template: str,
    report: Report,
    rankings: Sequence[Ranking],
    *,
    filters: dict[str, Any],
    **values: Any,
) -> str:
    """Render a template with the filters and values of its format, and common ones."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=template.endswith(".html.jinja"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update({**_FILTERS, **filters})
    series = workload_series(rankings)
    sized = {ranking for found in series for ranking in found.rankings}
    return environment.get_template(template).render(
        values,
        report=report,
        rankings=rankings,
        series=series,
        singles=[ranking for ranking in rankings if ranking not in sized],
        headline=headline(rankings),
        lead=lead(report, rankings),
        measured_on=measured_on(report),
        rounds=rounds(rankings),
        compared=comparisons(rankings),
        sentences=report_sentences(report, rankings),
        peers=peer_comparisons(rankings),
        failures=failures(rankings),
        ranking_sentence=ranking_sentence,
        crossover_sentences=crossover_sentences,
    )


def _code_for(case: Case) -> tuple[str, bool]:
    """Return the code of a case's workload, and whether it is that of today.

    Reports of before have none; of the built-in workloads, it is looked up.
    """
    if case.code:
        return case.code, False
    known = [
        w for w in WORKLOADS if w.name == case.workload and w.use == case.description
    ]
    return (workload_code(known[0]), True) if known else ("", False)


def _files(code: str) -> list[str]:
    """List the files that are named above the pieces of a workload's code."""
    return list(dict.fromkeys(re.findall(r"^# (\S+\.py)$", code, re.MULTILINE)))


def _data_uri(report: Report) -> str:
    """Return `results.json`, compressed, as an address that holds it."""
    packed = gzip.compress(to_json(report).encode(), mtime=0)
    return f"data:application/gzip;base64,{base64.b64encode(packed).decode()}"


def _script_hash(script: str) -> str:
    """Return the hash by which a browser knows the one script that it may run."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _timed(row: Row) -> str:
    """Format a time, its spread and the number of its rounds."""
    rest = ", ".join(filter(None, [spread(row.times), str(len(row.times) or "")]))
    return f"{seconds(row.time_s)} ({rest})" if rest else seconds(row.time_s)


def _linked(text: str) -> Markup:
    """Make the addresses in a text links; of `https` alone, and without odd letters."""
    parts = _ADDRESS.split(text)
    return Markup("").join(
        Markup('<a href="{0}" rel="noreferrer">{0}</a>').format(part)
        if index % 2
        else escape(part)
        for index, part in enumerate(parts)
    )


def _breakable(name: str) -> Markup:
    """Allow line breaks after the underscores of a name."""
    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))


def _code(name: str) -> Markup:
    return Markup("<code>{}</code>").format(_breakable(truncated(name, 60)))


def _unbroken(text: str) -> str:
    """Keep a number on one line with its noun or unit."""
    return re.sub(r"(?<=\d) (?=[\w%])", "\N{NO-BREAK SPACE}", text)


def _sentence(sentence: str) -> Markup:
    """Format the names of a sentence as code."""
    # Both formats escape their text.
    return Markup(  # noqa: S704
        render_names(sentence, _code, lambda text: escape(_unbroken(text)))
    )


_HTML_FILTERS: dict[str, Any] = {
    "breakable": _breakable,
    "code": _code,
    "sentence": _sentence,
    "linked": _linked,
    "spread": spread,
    "unbroken": _unbroken,
}


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
    case = ranking.case
    if case.outputs is None or case.inputs is None:
        return ""
    samples = "" if case.samples is None else f"{count(case.samples, 'sample')} of "
    entries = f"{count(case.outputs, 'output')} {TIMES} {count(case.inputs, 'input')}"
    result = "" if case.result_bytes is None else f", {size(case.result_bytes)}"
    return f"{TITLES[case.quantity]}: {samples}{entries}{result}"


def _markdown_escaped(text: str) -> str:
    """Escape a text so that Markdown shows it literally, in a table too."""
    text = _SPECIAL.sub(lambda found: "".join(f"\\{char}" for char in found[0]), text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("://", ":&#47;&#47;").replace("www.", "www&#46;")


def _markdown_code(name: str) -> str:
    """Format a name as code, unless a table could not show it as code."""
    return f"`{name}`" if _PLAIN.fullmatch(name) else _markdown_escaped(name)


def _markdown_sentence(sentence: str) -> str:
    return render_names(
        sentence, lambda name: _markdown_code(truncated(name, 60)), _markdown_escaped
    )
