"""`jacengine compare`: what became slower between two runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import click

from jacengine.commands.cli_group import REGRESSED, IncomparableError
from jacengine.commands.output import messages, print_records
from jacengine.commands.param_types import FORMAT_OPTION, RUN, tolerances
from jacengine.report.case import Report
from jacengine.report.formatting import abbreviated, ratio, seconds, size
from jacengine.sweep.compare import Difference, Verdict, common_cases
from jacengine.sweep.compare import compare as find_differences
from jacengine.sweep.environment import require_same_machine, version_differences
from jacengine.sweep.merge import read_run

_VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
_STYLES: dict[Verdict, str] = {
    "regressed": "red",
    "improved": "green",
    "unclear": "dim",
    "same": "",
}


@click.command("compare")
@click.argument("base", type=RUN)
@click.argument("new", type=RUN)
@click.option(
    "--fail-if",
    type=tolerances,
    metavar="time:10%,memory:5%",
    help="Exit with 1 if a method of jacengine regressed by more.",
)
@click.option("--all", "everything", is_flag=True, help="Show what is the same, too.")
@FORMAT_OPTION
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
    medians is beyond the tolerance, and is the same if it is within.
    """
    before, now = read_run(base), read_run(new)
    common = common_cases(before, now)
    require_same_machine(new, now.machine, base, before.machine)
    _require_common(base, new, common)
    for warning in _warnings(base, before, new, now):
        text = f"warning: {warning}"
        messages().print(text, style="yellow", markup=False, soft_wrap=True)
    limits = fail_if or {}
    found = find_differences(before, now, **limits)
    found.sort(key=lambda d: (_VERDICTS.index(d.verdict), d.case, d.candidate))
    shown = [d for d in found if everything or d.verdict != "same"]
    print_records(
        [{**asdict(d), "ratio": d.ratio} for d in shown],
        form,
        cells=[_cells(d) for d in shown],
        numbers=("base", "new", "ratio", "interval"),
        styles=[_STYLES[d.verdict] for d in shown],
    )
    counts = Counter(difference.verdict for difference in found)
    summary = ", ".join(f"{counts[v]} {v}" for v in _VERDICTS if counts[v])
    messages().print(f"{common} cases: {summary or 'nothing to compare'}")
    if any(
        d.verdict == "regressed" and d.kind != "library" and d.quantity in limits
        for d in found
    ):
        ctx.exit(REGRESSED)


def _require_common(base: Path, new: Path, common: int) -> None:
    """Require that two runs have cases in common."""
    if not common:
        raise IncomparableError(f"{base} and {new} have no case in common.")


def _warnings(base: Path, before: Report, new: Path, now: Report) -> Iterator[str]:
    """Yield what limits the comparison."""
    yield from version_differences(before.machine, now.machine)
    for (path, run), other in (((base, before), now), ((new, now), before)):
        names, others = ({case.name for case in r.cases} for r in (run, other))
        if only := names - others:
            yield f"only in {path}: {abbreviated(sorted(only))}"
        if unstable := [case.name for case in run.cases if case.unstable]:
            yield f"unstable in {path}: {abbreviated(unstable)}"


def _cells(difference: Difference) -> dict[str, str]:
    time = difference.quantity == "time"
    to_text = seconds if time else size
    low, high = difference.low, difference.high
    span = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
    return {
        "verdict": difference.verdict,
        "case": difference.case,
        "method": difference.candidate,
        "quantity": difference.quantity,
        "base": to_text(difference.base),
        "new": to_text(difference.new),
        "ratio": ratio(difference.ratio),
        "interval": span if time else "",
    }
