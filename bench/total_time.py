"""What n calls of `auto` take, choice included, against whoever had known n before.

    python -m jacengine.bench.total_time --out reports/total_time

Each case runs in a process of its own, where torch has done its set-up. One Jacobian is
compared with `torch.func`; n calls with the best fixed strategy in hindsight, its own
first run included. For every strategy but the fastest, calls beyond the measured ones
are computed from the median of those.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacfwd, jacrev

import jacengine
from jacengine.api.strategies import known_strategies
from jacengine.bench.markdown import markdown_table
from jacengine.bench.workload import DerivativeSpec
from jacengine.bench.workloads import WORKLOADS
from jacengine.bench.workloads.one_off import ONE_OFF
from jacengine.execution.sweep import Sweep, prepare
from jacengine.plans.analysis import analyze_request
from jacengine.plans.request import PlanRequest
from jacengine.problem.problem import Options
from jacengine.selection.candidates import by_composition, candidates

COUNTS = (1, 10, 100, 1000)
"""Numbers of calls."""
LIMIT_S = 60.0
"""Seconds after which further calls are computed."""
FREE_S, FREE_ONE_OFF_S = 0.05, 0.1
"""Seconds that a choice may take in any case: of n calls, and of one."""
RUNS, RUN_LIMIT_S = 5, 3.0
"""Runs of a strategy, and the seconds of all of them at most."""


def one_off(name: str) -> dict[str, Any]:
    """Time one Jacobian by `auto`, and by the better of `jacrev` and `jacfwd`."""
    spec = ONE_OFF[name]()
    fn, x = spec.fn, spec.args[0]
    of_inputs, at = fn, x
    transforms: dict[str, Any] = {"jacrev": jacrev, "jacfwd": jacfwd}
    if isinstance(fn, nn.Module) and spec.wrt == "params":
        at = {key: value.detach() for key, value in fn.named_parameters()}
        of_inputs = functools.partial(_with_parameters, fn, x)
        del transforms["jacfwd"]  # 6,922 columns
    times = {
        key: min(_seconds(functools.partial(t(of_inputs), at)) for _ in range(3))
        for key, t in transforms.items()
    }
    best = min(times, key=lambda key: times[key])
    taken = _seconds(lambda: _auto(spec))
    allowed = 2 * times[best] + FREE_ONE_OFF_S
    return {
        "work": name,
        "torch.func": best,
        "its ms": 1e3 * times[best],
        "auto ms": 1e3 * taken,
        "allowed ms": 1e3 * allowed,
        "met": taken <= allowed,
    }


def _with_parameters(fn: nn.Module, x: Tensor, values: dict[str, Tensor]) -> Any:
    return functional_call(fn, values, (x,))


def calls(name: str) -> dict[str, Any]:
    """Time calls of `auto`, and of every fixed strategy."""
    workload = next(w for w in WORKLOADS if w.name == name)
    spec = workload.build(workload.sizes[0])
    totals, times = dict[int, float](), list[float]()
    begun = time.perf_counter()
    for number in range(1, COUNTS[-1] + 1):
        if time.perf_counter() - begun < LIMIT_S:
            times.append(_seconds(lambda: _auto(spec)))
        if number in COUNTS:
            left = max(0, number - len(times))
            totals[number] = sum(times) + left * statistics.median(times[-20:])
    policies = _policies(spec)
    row: dict[str, Any] = {"work": name}
    for number in COUNTS:
        best_s = min(first + (number - 1) * s for first, s in policies.values())
        row[f"n={number}"] = max(0.0, totals[number] - FREE_S) / best_s
    return row


def _policies(spec: DerivativeSpec) -> dict[str, tuple[float, float]]:
    """Return the first and the median time of each strategy that runs."""
    options = Options(spec.wrt, spec.batch_dim, quantity=spec.quantity)
    chosen = known_strategies().choose(None, (), spec.quantity)
    request = PlanRequest(spec.fn, spec.args, {}, options, chosen)
    problem = analyze_request(request)
    bound = problem.bind(request.callee, request.leaves)
    found: dict[str, tuple[float, float]] = {}
    for methods in by_composition(candidates(problem, chosen)):
        if methods[0].strategy.check(problem) is not None:
            continue
        times: list[float] = []
        try:
            ready = prepare(problem, bound, methods[0], timed=False)
            sweep = Sweep(problem, ready)
            while len(times) < RUNS and sum(times) < RUN_LIMIT_S:
                times.append(_seconds(functools.partial(sweep.run, bound)))
        except (RuntimeError, NotImplementedError):
            continue
        steady = statistics.median(times[1:] or times)
        found[methods[0].name] = times[0], steady
    return found


def _auto(spec: DerivativeSpec) -> object:
    if spec.quantity == "jacobian":
        return jacengine.auto(
            spec.fn, *spec.args, wrt=spec.wrt, batch_dim=spec.batch_dim
        )
    call: Any = getattr(jacengine, spec.quantity)
    return call(spec.fn, *spec.args, wrt=spec.wrt, batch_dim=spec.batch_dim)


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


MEASURES = {"one_off": one_off, "calls": calls}


def _in_a_process(measure: str, name: str) -> dict[str, Any] | None:
    """Measure a case in a new process, without what another has kept on disk."""
    done = subprocess.run(
        [sys.executable, "-m", "jacengine.bench.total_time", "--child", measure, name],
        env={**os.environ, "JACENGINE_CACHE_DIR": ""},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report.")
@click.option("--child", nargs=2, hidden=True)
def main(out: Path | None, child: tuple[str, str] | None) -> None:
    """Measure all cases, and print or write tables."""
    if child is not None:
        warnings.simplefilter("ignore")
        jacfwd(jacrev(torch.sin))(torch.ones(1))  # torch's own set-up
        importlib.import_module("jacengine.api.auto")  # which is loaded lazily
        click.echo(json.dumps(MEASURES[child[0]](child[1])))
        return
    single = pd.DataFrame(filter(None, (_in_a_process("one_off", n) for n in ONE_OFF)))
    names = [workload.name for workload in WORKLOADS]
    many = pd.DataFrame(filter(None, (_in_a_process("calls", n) for n in names)))
    columns = [f"n={number}" for number in COUNTS]
    summary = many[columns].agg(["median", "max"]).reset_index(names="over all")
    text = "\n\n".join(
        [
            "# The total time of calls of `auto`",
            f"`python -m jacengine.bench.total_time` on {platform.machine()} "
            f"({torch.backends.cpu.get_cpu_capability()}), "
            f"{torch.get_num_threads()} threads, PyTorch {torch.__version__}.",
            "One Jacobian; allowed is twice the better of `torch.func` and 0.1 s:",
            markdown_table(single),
            "n calls, less 50 ms, over the best fixed strategy in hindsight, eager:",
            markdown_table(summary),
            markdown_table(many),
        ]
    )
    if out is None:
        click.echo(text)
    else:
        out.mkdir(parents=True, exist_ok=True)
        (out / "total_time.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
