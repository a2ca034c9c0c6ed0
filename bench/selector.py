"""How good is the selector? `python -m jacengine.bench.selector`.

For each workload at its small size: what `auto` picks against the best candidate of an
exhaustive run (*regret*), what the selection cost, what a plan adds to its kernel, how
well peaks are predicted, whether budgets hold, and whether the same pick comes again.
Ratios are of medians over interleaved rounds of one run.
"""

from __future__ import annotations

import functools
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from jacengine.api.builtin_registry import known_strategies
from jacengine.bench.workload import Question, Workload
from jacengine.bench.workloads import WORKLOADS
from jacengine.errors import MemoryBudgetError
from jacengine.execution.sweep import Sweep
from jacengine.peak_memory import peak_memory
from jacengine.plans.plan import Plan
from jacengine.plans.planning import make_plan
from jacengine.problem.problem import Options
from jacengine.report import Machine
from jacengine.selection.select import Effort
from jacengine.timing import seconds

ROUNDS = 15
"""Interleaved rounds that medians are taken over."""
RIVALS = 2.0
"""Candidates of the exhaustive run within this factor of its best run again."""


@dataclass(frozen=True)
class Figures:
    """What was measured on one workload.

    Attributes:
        workload: Its name.
        pick: What `auto` chose, and its chunk.
        best: What the exhaustive run found best.
        regret: Time of the pick over time of the best, at least 1.
        best_s: Median time of the best.
        selection_s: What the quick selection cost.
        allowed_s: What it may cost: the larger of 0.3 s and 12 times the winner.
        overhead_s: Time of `plan(x)` beyond its kernel's.
        prediction_error: Predicted over measured peak, minus one.
        over_budget: Budgets that a measured peak exceeded ...
        budgets: ... of so many.
        same_pick: How often the commonest pick came ...
        repeats: ... in so many selections.
    """

    workload: str
    pick: str
    best: str
    regret: float
    best_s: float
    selection_s: float
    allowed_s: float
    overhead_s: float
    prediction_error: float
    over_budget: int
    budgets: int
    same_pick: int
    repeats: int


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("reports/selector"),
    show_default=True,
    help="Where the figures go.",
)
@click.option("--repeats", default=5, show_default=True, help="Selections to compare.")
@click.option(
    "--only",
    type=click.Choice([workload.name for workload in WORKLOADS]),
    multiple=True,
    help="This workload only; may be repeated.",
)
def main(out: Path, repeats: int, only: tuple[str, ...]) -> None:
    """Measure the selector's regret, cost, predictions and stability."""
    progress = Console(stderr=True)
    figures: list[Figures] = []
    for workload in WORKLOADS:
        if not only or workload.name in only:
            progress.print(f"{workload.name} ...", style="dim")
            figures.append(measured(workload, repeats))
    Console(width=140).print(_table(figures))
    out.mkdir(parents=True, exist_ok=True)
    document = {
        "machine": asdict(Machine.here()),
        "figures": [asdict(row) for row in figures],
        "median_regret": statistics.median(row.regret for row in figures),
        "worst_regret": max(row.regret for row in figures),
    }
    path = out / "selector.json"
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    command = " ".join(["python -m jacengine.bench.selector", *sys.argv[1:]])
    (out / "selector.md").write_text(_markdown(figures, command))
    click.echo(f"median regret {document['median_regret']:.3f}, worst ", nl=False)
    click.echo(f"{document['worst_regret']:.3f}; figures in {path}")


def measured(workload: Workload, repeats: int) -> Figures:
    """Take all figures of one workload."""
    question = workload.build(workload.sizes[0])
    plans = [_plan(question, "quick") for _ in range(repeats)]
    thorough = _plan(question, "thorough")
    quick = plans[0]
    rivals = {_name(quick): Sweep(quick.problem, _method(quick))}
    fastest = thorough.selection.ranked[0].time_s or 0.0
    for record in thorough.selection.ranked:
        if record.method and (record.time_s or 0.0) <= RIVALS * fastest:
            name = f"{record.strategy}/{record.chunk_size}"
            rivals.setdefault(name, Sweep(thorough.problem, record.method))
    args = question.args
    call = quick.problem.bind(args, {})
    device = quick.problem.outputs[0].device
    runs: dict[str, Callable[[], object]] = {
        name: functools.partial(kernel.run, call) for name, kernel in rivals.items()
    }
    runs["plan"] = lambda: quick(*args)
    times = _interleaved(runs, device)
    overhead = times.pop("plan") - times[_name(quick)]
    best = min(times, key=lambda name: times[name])
    picks = [_name(plan) for plan in plans]
    over, budgets = _budgets(question, thorough)
    with peak_memory(device) as peak:
        Sweep(quick.problem, _method(quick)).run(call)
    predicted = quick.chosen.predicted_bytes or 0
    return Figures(
        workload=workload.name,
        pick=_name(quick),
        best=best,
        regret=times[_name(quick)] / times[best],
        best_s=times[best],
        selection_s=statistics.median(p.selection.cost_s for p in plans),
        allowed_s=max(0.3, 12 * times[best]),
        overhead_s=overhead,
        prediction_error=predicted / peak.bytes - 1,
        over_budget=over,
        budgets=budgets,
        same_pick=max(picks.count(pick) for pick in picks),
        repeats=repeats,
    )


def _plan(question: Question, effort: Effort, memory_budget: int | None = None) -> Plan:
    return make_plan(
        question.fn,
        question.args,
        {},
        Options(
            wrt=question.wrt,
            batch_dim=question.batch_dim,
            quantity=question.quantity,
        ),
        known_strategies().choose(None, (), question.quantity),
        memory_budget=memory_budget,
        effort=effort,
        cached=False,
    )


def _name(plan: Plan) -> str:
    return f"{plan.strategy}/{plan.chosen.chunk_size}"


def _method(plan: Plan) -> Any:
    return plan.chosen.method


def _interleaved(
    runs: dict[str, Callable[[], object]], device: Any
) -> dict[str, float]:
    """Return the median time of each run, over rounds that take them in turn."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    deadline = time.monotonic() + 20
    for number in range(ROUNDS):
        order = list(runs) if number % 2 else list(runs)[::-1]
        for name in order:
            times[name].append(seconds(runs[name], device))
        if number >= 4 and time.monotonic() > deadline:
            break
    return {name: statistics.median(taken) for name, taken in times.items()}


def _budgets(question: Question, thorough: Plan) -> tuple[int, int]:
    """Make plans under shrinking budgets; count those whose peak exceeded theirs."""
    exceeded, tried = 0, 0
    for budget in _shrinking(thorough):
        try:
            plan = _plan(question, "quick", budget)
        except MemoryBudgetError:
            break
        tried += 1
        with peak_memory(plan.problem.outputs[0].device) as peak:
            plan(*question.args)
        exceeded += peak.bytes > budget
    return exceeded, tried


def _shrinking(plan: Plan) -> Iterator[int]:
    """Yield budgets from what the pick takes down to the bare result."""
    result = plan.problem.result_bytes
    taken = plan.chosen.predicted_bytes or result
    beside = max(taken - result, result // 8)
    for factor in (1.1, 0.5, 0.2, 0.1, 0.05):
        yield int(result + factor * beside)


def _markdown(figures: Sequence[Figures], command: str) -> str:
    """Write the figures as a page, with the machine and the command."""
    here = Machine.here()
    lines = [
        "# The selector, measured",
        "",
        f"`{command}` on {here.cpu}, {here.threads} threads, PyTorch {here.torch}, "
        f"commit {here.commit or 'unknown'}.",
        "",
        "Regret: time of the quick pick over time of the best candidate of an "
        "exhaustive run, medians of interleaved rounds. Selection: what it cost, and "
        "the larger of 0.3 s and 12 times the winner. Overhead: of `plan(x)` beyond "
        "its kernel. Prediction: predicted over measured peak, minus one. Over budget: "
        "measured peaks above the budget, of the budgets tried from 1.1 times what the "
        "pick takes down to the least that fits.",
        "",
        f"| {' | '.join(_TITLES)} |",
        f"|{'---|' * len(_TITLES)}",
        *(f"| {' | '.join(_cells(row))} |" for row in figures),
        "",
        f"Median regret {statistics.median(row.regret for row in figures):.3f}, worst "
        f"{max(row.regret for row in figures):.3f}.",
    ]
    return "\n".join(lines) + "\n"


_TITLES = (
    "workload",
    "pick/chunk",
    "best",
    "regret",
    "selection / allowed",
    "overhead",
    "prediction",
    "over budget",
    "same pick",
)


def _cells(row: Figures) -> tuple[str, ...]:
    return (
        row.workload,
        row.pick,
        row.best,
        f"{row.regret:.3f}",
        f"{row.selection_s:.2f} / {row.allowed_s:.2f} s",
        f"{row.overhead_s * 1e6:.0f} us",
        f"{row.prediction_error:+.1%}",
        f"{row.over_budget} of {row.budgets}",
        f"{row.same_pick} of {row.repeats}",
    )


def _table(figures: Sequence[Figures]) -> Table:
    drawn = Table(*_TITLES, box=None, header_style="bold", pad_edge=False)
    for row in figures:
        drawn.add_row(*_cells(row))
    return drawn


if __name__ == "__main__":
    main()
