"""Compare every strategy on a few models: `python -m jacengine.bench.demo`.

Tables go to standard output, progress to standard error: a line before each problem and
no animation, whose thread would disturb the times.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

import jacengine
from jacengine.bench.models import MODELS, Model
from jacengine.defaults import known_strategies
from jacengine.plans.planning import make_plan
from jacengine.problems.problem import Options
from jacengine.report import Case, Machine, Report, summary_table, write_report
from jacengine.selection import explain
from jacengine.selection.select import Effort


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("reports/demo"),
    show_default=True,
    help="Where the report goes.",
)
@click.option("--quick", is_flag=True, help="Stop candidates that are too slow to win.")
@click.option(
    "--only",
    type=click.Choice([model.name for model in MODELS]),
    multiple=True,
    help="This problem only; may be repeated.",
)
def main(out: Path, *, quick: bool, only: tuple[str, ...]) -> None:
    """Time every strategy on a few models, verified against plain autograd."""
    machine = Machine.here()
    output, progress = _console(stderr=False), _console(stderr=True)
    models = [model for model in MODELS if not only or model.name in only]
    started = time.monotonic()
    cases: list[Case] = []
    stopped = False
    try:
        for case in _cases(models, "quick" if quick else "thorough", output, progress):
            cases.append(case)
    except KeyboardInterrupt:
        stopped = True
    if not cases:
        progress.print("Interrupted before the first problem was finished: no report.")
        sys.exit(130)
    output.print(
        "\n[bold]Summary[/bold] (runner-up and plain loop: their time, as a multiple)"
    )
    output.print(summary_table(cases))
    report = Report(tuple(cases), machine, _command(), len(models))
    page = write_report(report, out)
    took = f"{time.monotonic() - started:.0f} s"
    if stopped:
        finished = f"{len(cases)} of {len(models)} problems"
        progress.print(f"Interrupted; the report has the {finished} that finished.")
    output.print(f"\nReport after {took}: {page}", markup=False, soft_wrap=True)
    unsolved = any(all(row.outcome != "ok" for row in case.rows) for case in cases)
    sys.exit(130 if stopped else 3 if unsolved else 0)


def _cases(
    models: Sequence[Model], effort: Effort, output: Console, progress: Console
) -> Iterator[Case]:
    for number, model in enumerate(models, start=1):
        progress.print(f"({number}/{len(models)}) {model.name} ...", style="dim")
        yield measured(model, effort, output)


def measured(model: Model, effort: Effort, output: Console) -> Case:
    """Compare the strategies on one model, and draw the table."""
    asked = model.build()
    output.print(f"\n[bold]{escape(model.name)}[/bold]  {escape(model.use)}")
    try:
        plan = make_plan(
            asked.fn,
            asked.args,
            {},
            Options(wrt=asked.wrt, batch_dim=asked.batch_dim),
            known_strategies().choose(None, ()),
            memory_budget=None,
            effort=effort,
            cached=False,
        )
    except jacengine.JacengineError as error:
        output.print(f"none: {error}", style="red", markup=False)
        return Case(model.name, model.use, failure=str(error))
    output.print(explain.table(plan.selection))
    return Case.of(model.name, model.use, plan.problem, plan.selection)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = explain.WIDTH
    return console


def _command() -> str:
    return " ".join(["python -m jacengine.bench.demo", *sys.argv[1:]])


if __name__ == "__main__":
    main()
