"""`jacengine compare`: what became slower between two runs."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from jacengine.commands.consoles import aside, output
from jacengine.commands.exit_codes import REGRESSED, Incomparable
from jacengine.commands.param_types import Tolerances
from jacengine.report.case import Report
from jacengine.report.formatting import abbreviated, one_line, ratio, seconds, size
from jacengine.sweep.compare import Difference, Word, common_cases
from jacengine.sweep.compare import compare as differences_of
from jacengine.sweep.environment import other_machine, other_versions
from jacengine.sweep.runs import read_run

_STYLES: dict[Word, str] = {"regressed": "red", "improved": "green", "unclear": "dim"}
_FORMATS = ("table", "json", "csv", "markdown")


@click.command("compare")
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option(
    "--fail-if",
    type=Tolerances(),
    metavar="time:10%,memory:5%",
    help="Exit with 1 if a method of jacengine regressed by more.",
)
@click.option("--all", "everything", is_flag=True, help="Show what is the same, too.")
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), default="table", show_default=True
)
@click.pass_context
def compare_command(
    ctx: click.Context,
    base: Path,
    new: Path,
    *,
    fail_if: dict[str, float] | None,
    everything: bool,
    form: str,
) -> None:
    """Compare run NEW with run BASE, case by case and method by method.

    A time has regressed (improved) if the 99 % bootstrap interval of the ratio of
    medians lies beyond the tolerance, and is the same if it lies within.
    """
    before, now = read_run(base), read_run(new)
    progress = aside()
    _require_comparable(base, before, new, now)
    for said in _reservations(base, before, new, now):
        progress.print(f"warning: {said}", style="yellow", markup=False)
    tolerances = fail_if or {}
    found = differences_of(before, now, **tolerances)
    shown = [d for d in found if everything or d.word != "same"]
    _print(shown, form)
    counted = Counter(difference.word for difference in found)
    told = ", ".join(f"{counted[word]} {word}" for word in _ORDER if counted[word])
    progress.print(f"{common_cases(before, now)} cases: {told or 'nothing to compare'}")
    lost = [
        difference
        for difference in found
        if difference.word == "regressed"
        and difference.kind != "library"
        and difference.quantity in tolerances
    ]
    if lost:
        ctx.exit(REGRESSED)


def _require_comparable(base: Path, before: Report, new: Path, now: Report) -> None:
    """Refuse to compare what cannot be.

    Raises:
        Incomparable: The runs have other machines, or no case in common.
    """
    differences = other_machine(before.machine, now.machine)
    if differences:
        raise Incomparable(
            f"{base} and {new} come from different machines ({'; '.join(differences)})."
        )
    if not common_cases(before, now):
        raise Incomparable(f"{base} and {new} have no case in common.")


def _reservations(base: Path, before: Report, new: Path, now: Report) -> Iterator[str]:
    """Yield what limits the comparison."""
    yield from other_versions(before.machine, now.machine)
    names = [{case.name for case in run.cases} for run in (before, now)]
    for path, alone in ((base, names[0] - names[1]), (new, names[1] - names[0])):
        if alone:
            yield f"only in {path}: {abbreviated(sorted(alone))}"
    for path, run in ((base, before), (new, now)):
        unstable = [case.name for case in run.cases if case.unstable]
        if unstable:
            yield f"unstable in {path}: {abbreviated(unstable)}"


_ORDER: tuple[Word, ...] = ("regressed", "unclear", "improved", "same")


def _print(found: Sequence[Difference], form: str) -> None:
    ordered = sorted(found, key=lambda d: (_ORDER.index(d.word), d.case, d.contender))
    if form == "json":
        content = [{**asdict(d), "ratio": d.ratio} for d in ordered]
        click.echo(json.dumps(content, indent=1))
        return
    titles = ("word", "case", "method", "quantity", "base", "new", "ratio", "interval")
    if form == "csv":
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow([field.name for field in fields(Difference)])
        writer.writerows([asdict(d).values() for d in ordered])
        click.echo(buffer.getvalue(), nl=False)
        return
    if form == "markdown":
        click.echo(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
        for difference in ordered:
            safe = (cell.replace("|", "\\|") for cell in _cells(difference))
            click.echo(f"| {' | '.join(safe)} |")
        return
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for title in titles:
        drawn.add_column(title, overflow="fold")
    for difference in ordered:
        cells = map(escape, _cells(difference))
        drawn.add_row(*cells, style=_STYLES.get(difference.word, ""))
    output().print(drawn)


def _cells(difference: Difference) -> tuple[str, ...]:
    written = seconds if difference.quantity == "time" else size
    low, high = difference.low, difference.high
    span = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
    return (
        difference.word,
        one_line(difference.case),
        one_line(difference.contender),
        difference.quantity,
        written(difference.base),
        written(difference.new),
        ratio(difference.ratio),
        span if difference.quantity == "time" else "",
    )
