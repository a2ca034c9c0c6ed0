"""Compare every strategy on a few models: `python -m jacengine.bench.demo`.

Tables go to standard output, progress to standard error: a line before each problem and
no animation, whose thread would disturb the times.
"""

from __future__ import annotations

import functools
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.markup import escape

import jacengine
from jacengine import explain
from jacengine.accumulate import accumulate
from jacengine.bench.models import MODELS, Model
from jacengine.measure import peak_memory, seconds
from jacengine.plans import Plan
from jacengine.record import Record
from jacengine.report import Case, Machine, Report, summary_table, write_report
from jacengine.selection import Effort, Selection

RUNS = 5
"""Every right candidate is timed this often at least ..."""
ALLOWED = 0.3
"""... or until its runs have taken so many seconds, but once more in any case, ..."""
LONG = 2.0
"""... unless one takes longer than this."""


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
        _warm_up()
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
        plan = jacengine.plan(
            asked.fn,
            *asked.args,
            wrt=asked.wrt,
            batch_dim=asked.batch_dim,
            effort=effort,
        )
    except jacengine.JacengineError as error:
        output.print(f"none: {error}", style="red", markup=False)
        return Case(model.name, model.use, failure=str(error).splitlines()[0])
    selection = _measured_again(plan, asked.args)
    output.print(explain.table(selection))
    return Case.of(model.name, model.use, plan.problem, selection)


def _measured_again(plan: Plan, args: tuple[object, ...]) -> Selection:
    """Measure the candidates that the race left behind as well as the leaders.

    A selection stops timing those that cannot win; a comparison is about them too, and
    a first run pays for what it sets up.
    """
    call = plan.problem.bind(args, {})
    device = plan.problem.outputs[0].device

    def again(record: Record) -> Record:
        method, time_s = record.method, record.time_s
        if record.outcome != "ok" or method is None or time_s is None or time_s > LONG:
            return record
        run = functools.partial(accumulate, plan.problem, call, method)
        times: list[float] = []
        while record.runs + len(times) < RUNS and sum(times) < ALLOWED:
            times.append(seconds(run, device))
        best = min([time_s, *times])
        peak_bytes = record.peak_bytes
        if peak_bytes is None and best < ALLOWED:
            with peak_memory(device) as peak:
                run()
            peak_bytes = peak.bytes
        runs = record.runs + len(times)
        return replace(record, time_s=best, runs=runs, peak_bytes=peak_bytes)

    with warnings.catch_warnings():  # of torch, about batching rules that are slow
        warnings.simplefilter("ignore")
        records = [again(record) for record in plan.selection.records]
    records.sort(key=lambda r: (r.outcome != "ok", r.time_s is None, r.time_s or 0.0))
    return replace(plan.selection, records=tuple(records))


def _warm_up() -> None:
    """Have torch load and start what it does at first use, before anything is timed."""
    jacengine.benchmark(torch.nn.Linear(2, 2), torch.ones(2, 2), batch_dim=0)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = explain.WIDTH
    return console


def _command() -> str:
    return " ".join(["python -m jacengine.bench.demo", *sys.argv[1:]])


if __name__ == "__main__":
    main()
