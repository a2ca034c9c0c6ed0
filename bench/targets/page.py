"""What became of a family's targets, as a table and as a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.table import Table

from jacengine.bench.targets.contest import FEW, SLOW_S, Finding, Outcome
from jacengine.bench.targets.target import Family, Target
from jacengine.report import Machine
from jacengine.selection.budget import format_bytes
from jacengine.timing import format_seconds

TITLES = ("work", "ratio of", "found", "target", "met")


def page(
    family: Family,
    outcomes: Mapping[Target, Outcome],
    size: int | None,
    machine: Machine,
    command: str,
) -> Iterator[str]:
    """Yield the lines of a page with all figures.

    Args:
        family: Whose targets they are.
        outcomes: What became of them.
        size: At which size, if not at that which they are for.
        machine: Where.
        command: What was run.
    """
    changed = " with changes" if machine.dirty else ""
    yield from (
        f"# {family.title}, and their targets",
        "",
        f"`{command}` on {machine.cpu}, {machine.threads} threads, PyTorch "
        f"{machine.torch}, {machine.libraries or 'no other library'}, commit "
        f"{machine.commit or 'unknown'}{changed}, {machine.date}, load "
        f"{machine.load} at the start.",
        "",
        "Ratios are of medians; everybody ran in turn, in one process. Who takes more "
        f"than {format_seconds(SLOW_S)} ran {FEW} times. {family.notes}",
        "",
    )
    yield from _rows(TITLES)
    for target, outcome in outcomes.items():
        for finding in outcome.findings:
            yield _row(_cells(target, finding, size))
    yield from ("", f"{count(outcomes)}.", "", "## Times", "")
    yield from _rows(("work", "who", "median", "runs"))
    for target, outcome in outcomes.items():
        for who, median in sorted(outcome.times_s.items(), key=lambda item: item[1]):
            runs = str(outcome.rounds[who])
            yield _row((target.name, who, format_seconds(median), runs))
        for what, amount in outcome.amounts.items():
            yield _row((target.name, what, format_bytes(int(amount)), ""))
    yield from ("", "## Who does not take part", "")
    yield from _rows(("work", "library", "why"))
    for target, outcome in outcomes.items():
        for library, reason in outcome.out.items():
            yield _row((target.name, library, reason))


def table(outcomes: Mapping[Target, Outcome], size: int | None) -> Table:
    """Draw what was found of every claim."""
    drawn = Table(*TITLES, box=None, header_style="bold", pad_edge=False)
    for target, outcome in outcomes.items():
        for finding in outcome.findings:
            drawn.add_row(*_cells(target, finding, size))
    return drawn


def count(outcomes: Mapping[Target, Outcome]) -> str:
    """Say how many targets are met."""
    findings = [f for outcome in outcomes.values() for f in outcome.findings]
    met = sum(finding.met is True for finding in findings)
    return f"{met} of {len(findings)} targets met"


def _rows(titles: Sequence[str]) -> tuple[str, str]:
    return _row(titles), f"|{'---|' * len(titles)}"


def _row(cells: Sequence[str]) -> str:
    # What libraries say may hold bars.
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _cells(target: Target, finding: Finding, size: int | None) -> tuple[str, ...]:
    verdict = {True: "yes", False: "**no**", None: "not known"}[finding.met]
    if finding.ratio is None:
        found = "nobody else is right" if finding.met else "somebody is not installed"
    else:
        found = f"{finding.ratio:.3g}"
    work = f"{target.work}, {target.counts}={size or target.size}"
    return work, finding.claim, found, finding.target, verdict
