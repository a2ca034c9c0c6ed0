"""The report as Markdown, for a repository."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from jacengine.report.case import Report, Row
from jacengine.report.failures import Failure, failures
from jacengine.report.formatting import Name, Sentence, clipped, ratio, seconds, size
from jacengine.report.peer_comparison import Rival, rivals
from jacengine.report.ranking import Standing
from jacengine.report.scaling import all_series
from jacengine.report.sentence_verdicts import verdict
from jacengine.report.sentences import answers, headline

_PLAIN = re.compile(r"[\w .:+()/-]+")
_SPECIAL = re.compile(
    r"[\\`*\[\]#~|$!@]|(?<!\w)_|_(?!\w)|^[-+=](?=[ -])|^\d+(?=[.)](?:\s|$))"
)


def escaped(text: str) -> str:
    """Escape a text so that Markdown, in a table too, shows it as it is."""
    text = " ".join(text.split())
    text = _SPECIAL.sub(lambda found: "".join(f"\\{char}" for char in found[0]), text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("://", ":&#47;&#47;").replace("www.", "www&#46;")


def code(name: str) -> str:
    """Set a name in code, unless it holds what code could not show in a table."""
    plain = _PLAIN.fullmatch(name) and name == name.strip()
    return f"`{name}`" if plain else escaped(name)


def to_markdown(report: Report) -> str:
    """Write the report; of workloads in several sizes, without every candidate."""
    standings = [Standing.of(case) for case in report.cases]
    series = all_series(standings)
    sized = {id(standing) for found in series for standing in found.standings}
    lines = [f"# {escaped(headline(standings))}", ""]
    lines += [f"- {_said(sentence)}" for sentence in answers(report, standings)]
    lines += ["", "## At a glance", "", *_glance(standings)]
    compared = [rival for rival in rivals(standings) if rival.factors]
    if compared:
        lines += ["", "## Other libraries", "", *_rivals(compared)]
    if series:
        found = failures(standings)
        lines += ["", "## What did not work", "", *_failures(found)]
    singles = [standing for standing in standings if id(standing) not in sized]
    if singles or not series:
        lines += ["", "## Problems"]
    for standing in singles:
        lines += ["", f"### {code(standing.case.name)}", ""]
        lines += [escaped(standing.case.description), "", _said(verdict(standing))]
        if standing.rows:
            lines += ["", *_candidates(standing)]
    lines += ["", "## Where and how", ""]
    lines += _table(("what", "value"), "ll", _facts(report))
    return "\n".join(lines) + "\n"


def _facts(report: Report) -> list[Sequence[str]]:
    facts = [(escaped(label), escaped(text)) for label, text in report.machine.facts()]
    return [*facts, ("Command", code(report.command))]


def _glance(standings: Iterable[Standing]) -> list[str]:
    titles = ("problem", "fastest", "time", "peak", "runner-up", "auto", "plain loop")
    return _table(
        titles,
        "llrrrrr",
        [
            (
                code(s.case.name),
                code(s.winner.strategy) if s.winner else "none",
                seconds(s.winner.time_s if s.winner else None),
                size(s.winner.memory_bytes if s.winner else None),
                f"{ratio(s.relative(s.runner_up))}{' (noise)' if s.noisy else ''}",
                ratio(s.relative(s.best("auto"))),
                f"{'≈ ' if s.estimated and s.gain else ''}{ratio(s.gain)}",
            )
            for s in standings
        ],
    )


def _rivals(compared: Iterable[Rival]) -> list[str]:
    titles = ("library", "right", "wrong", "its time over that of auto", "from", "to")
    return _table(
        titles,
        "lrrrrr",
        [
            (
                code(rival.name),
                f"{rival.right} of {rival.tried}",
                str(rival.wrong),
                ratio(rival.mean),
                ratio(rival.least),
                ratio(rival.most),
            )
            for rival in compared
        ],
    )


def _failures(found: Iterable[Failure]) -> list[str]:
    return _table(
        ("method", "outcome", "reason", "where"),
        "llll",
        [
            (
                code(failure.method),
                escaped(failure.outcome),
                escaped(failure.reason),
                "everywhere"
                if failure.everywhere
                else ", ".join(code(clipped(name, 60)) for name in failure.where),
            )
            for failure in found
        ],
    )


def _candidates(standing: Standing) -> list[str]:
    titles = ("strategy", "chunk", "time", "of fastest", "peak", "outcome", "notes")
    return _table(titles, "lrrrrll", [_cells(standing, row) for row in standing.rows])


def _cells(standing: Standing, row: Row) -> tuple[str, ...]:
    predicted = (
        "≈ " if row.peak_bytes is None and row.predicted_bytes is not None else ""
    )
    return (
        code(row.strategy),
        "" if row.chunk_size is None else str(row.chunk_size),
        seconds(row.time_s),
        ratio(standing.relative(row)),
        f"{predicted}{size(row.memory_bytes)}",
        escaped(row.outcome),
        escaped(row.notes),
    )


def _table(
    titles: Sequence[str], sides: str, rows: Iterable[Sequence[str]]
) -> list[str]:
    marks = {"l": ":--", "r": "--:"}
    lines = [titles, [marks[side] for side in sides], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _said(sentence: Sentence) -> str:
    return "".join(
        code(clipped(part, 60)) if isinstance(part, Name) else escaped_inside(part)
        for part in sentence
    )


def escaped_inside(text: str) -> str:
    """Escape a part of a sentence, and keep the blanks at its ends."""
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return f"{before}{escaped(text)}{after}" if text.strip() else text
