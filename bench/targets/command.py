"""Hold a family of targets: `python -m jacengine.bench.targets parameters`.

Everybody who is compared runs in turn, in one process; ratios are of medians. A library
counts if its result agrees with jacengine's, which is verified against plain reverse
mode; whoever is wrong, or missing, is named.
"""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from jacengine.bench.targets import parameters, second_order
from jacengine.bench.targets.contest import FEW, Outcome, hold
from jacengine.bench.targets.page import count, page, table
from jacengine.bench.targets.target import Family, Target
from jacengine.report import Machine

FAMILIES: dict[str, Family] = {
    family.name: family for family in (parameters.FAMILY, second_order.FAMILY)
}


@click.command()
@click.argument("family", type=click.Choice([*FAMILIES]))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the figures go.  [default: reports/FAMILY]",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=FEW),
    default=21,
    show_default=True,
    help="Rounds in which everybody runs in turn.",
)
@click.option("--only", multiple=True, help="This target only; may be repeated.")
@click.option(
    "--size",
    type=click.IntRange(min=2),
    help="A size in place of those that the targets are for, to try it out.",
)
def main(
    family: str, out: Path | None, rounds: int, only: tuple[str, ...], size: int | None
) -> None:
    """Hold a FAMILY of derivatives to its targets."""
    chosen = FAMILIES[family]
    folder = out or Path("reports") / family
    machine = Machine.here(chosen.libraries)
    outcomes = _held(chosen, only, size, rounds)
    Console(width=160).print(table(outcomes, size))
    folder.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python -m jacengine.bench.targets", *sys.argv[1:]])
    document = {
        "command": command,
        "machine": asdict(machine),
        "targets": [
            {
                "name": target.name,
                "work": target.work,
                "size": size or target.size,
                **asdict(outcome),
            }
            for target, outcome in outcomes.items()
        ],
    }
    path = folder / f"{family}.json"
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    written = "\n".join(page(chosen, outcomes, size, machine, command)) + "\n"
    (folder / f"{family}.md").write_text(written)
    click.echo(f"{count(outcomes)}; figures in {path}")


def _held(
    family: Family, only: tuple[str, ...], size: int | None, rounds: int
) -> dict[Target, Outcome]:
    """Hold the contests of a family, or of some of its targets.

    Raises:
        BadParameter: There is no target of a name.
    """
    names = [target.name for target in family.targets]
    for name in only:
        if name not in names:
            raise click.BadParameter(
                f"{family.name} has no target {name!r}; it has {', '.join(names)}.",
                param_hint="--only",
            )
    progress = Console(stderr=True)
    outcomes: dict[Target, Outcome] = {}
    for target in family.targets:
        if not only or target.name in only:
            progress.print(f"{target.name} ...", style="dim")
            with warnings.catch_warnings():
                # What libraries tell their users.
                warnings.simplefilter("ignore")
                contest = target.contest(size or target.size)
                outcomes[target] = hold(contest, rounds)
    return outcomes
