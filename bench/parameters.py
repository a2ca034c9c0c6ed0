"""Parameter Jacobians against their targets: `python -m jacengine.bench.parameters`.

Everybody who is compared runs in turn, in one process; ratios are of medians. A library
counts if its result agrees with jacengine's, which is verified against plain reverse
mode; whoever is wrong, or missing, is named.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from jacengine.bench.contest import FEW, SLOW_S, Finding, Outcome, hold
from jacengine.bench.targets import NAIVE, PART, TARGETS, Target
from jacengine.measure import format_seconds
from jacengine.report import Machine
from jacengine.selection.budget import format_bytes

LIBRARIES = ("backpack-for-pytorch", "jax", "opacus")
"""The distributions whose versions matter."""

_TITLES = ("work", "ratio of", "found", "target", "met")


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("reports/parameters"),
    show_default=True,
    help="Where the figures go.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=FEW),
    default=21,
    show_default=True,
    help="Rounds in which everybody runs in turn.",
)
@click.option(
    "--only",
    type=click.Choice([target.name for target in TARGETS]),
    multiple=True,
    help="This target only; may be repeated.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=2),
    help="Samples in place of those that the targets are for, to try it out.",
)
def main(out: Path, rounds: int, only: tuple[str, ...], samples: int | None) -> None:
    """Hold parameter Jacobians to their targets."""
    progress = Console(stderr=True)
    machine = Machine.here(LIBRARIES)
    outcomes: dict[Target, Outcome] = {}
    for target in TARGETS:
        if not only or target.name in only:
            progress.print(f"{target.name} ...", style="dim")
            with warnings.catch_warnings():
                # What libraries tell their users.
                warnings.simplefilter("ignore")
                contest = target.contest(samples or target.samples)
                outcomes[target] = hold(contest, rounds)
    Console(width=160).print(_table(outcomes, samples))
    out.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python -m jacengine.bench.parameters", *sys.argv[1:]])
    document = {
        "command": command,
        "machine": asdict(machine),
        "targets": [
            {
                "name": target.name,
                "work": target.work,
                "samples": samples or target.samples,
                **asdict(outcome),
            }
            for target, outcome in outcomes.items()
        ],
    }
    path = out / "parameters.json"
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    page = "\n".join(_page(outcomes, samples, machine, command)) + "\n"
    (out / "parameters.md").write_text(page)
    click.echo(f"{_count(outcomes)}; figures in {path}")


def _page(
    outcomes: Mapping[Target, Outcome],
    samples: int | None,
    machine: Machine,
    command: str,
) -> Iterator[str]:
    """Yield the lines of a page with all figures."""
    changed = " with changes" if machine.dirty else ""
    yield from (
        "# Parameter Jacobians, and their targets",
        "",
        f"`{command}` on {machine.cpu}, {machine.threads} threads, PyTorch "
        f"{machine.torch}, {machine.libraries or 'no other library'}, commit "
        f"{machine.commit or 'unknown'}{changed}, {machine.date}, load "
        f"{machine.load} at the start.",
        "",
        "Ratios are of medians; everybody ran in turn, in one process. Who takes more "
        f"than {format_seconds(SLOW_S)} ran {FEW} times. The {NAIVE} is "
        "torch.autograd.grad for every output entry of every sample; it is timed on "
        f"one sample of {PART}, and its time is scaled. A library counts if its result "
        "agrees with jacengine's, which is verified against plain reverse mode.",
        "",
    )
    yield from _rows(_TITLES)
    for target, outcome in outcomes.items():
        for finding in outcome.findings:
            yield _row(_cells(target, finding, samples))
    yield from ("", f"{_count(outcomes)}.", "", "## Times", "")
    yield from _rows(("work", "who", "median", "runs"))
    for target, outcome in outcomes.items():
        for who, median in sorted(outcome.times_s.items(), key=lambda item: item[1]):
            runs = str(outcome.rounds[who])
            yield _row((target.name, who, format_seconds(median), runs))
        for what, size in outcome.amounts.items():
            yield _row((target.name, what, format_bytes(int(size)), ""))
    yield from ("", "## Who does not take part", "")
    yield from _rows(("work", "library", "why"))
    for target, outcome in outcomes.items():
        for library, reason in outcome.out.items():
            yield _row((target.name, library, reason))


def _rows(titles: Sequence[str]) -> tuple[str, str]:
    return _row(titles), f"|{'---|' * len(titles)}"


def _row(cells: Sequence[str]) -> str:
    # What libraries say may hold bars.
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _cells(target: Target, finding: Finding, samples: int | None) -> tuple[str, ...]:
    verdict = {True: "yes", False: "**no**", None: "not known"}[finding.met]
    if finding.ratio is None:
        found = "nobody else is right" if finding.met else "somebody is not installed"
    else:
        found = f"{finding.ratio:.3g}"
    work = f"{target.work}, B={samples or target.samples}"
    return work, finding.claim, found, finding.target, verdict


def _table(outcomes: Mapping[Target, Outcome], samples: int | None) -> Table:
    drawn = Table(*_TITLES, box=None, header_style="bold", pad_edge=False)
    for target, outcome in outcomes.items():
        for finding in outcome.findings:
            drawn.add_row(*_cells(target, finding, samples))
    return drawn


def _count(outcomes: Mapping[Target, Outcome]) -> str:
    findings = [f for outcome in outcomes.values() for f in outcome.findings]
    met = sum(finding.met is True for finding in findings)
    return f"{met} of {len(findings)} targets met"


if __name__ == "__main__":
    main()
