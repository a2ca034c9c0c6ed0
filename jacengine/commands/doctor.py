"""`jacengine doctor`: checks of the machine, the strategies and the installation."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, NamedTuple

import click
import torch
from torch import nn

from jacengine import jacobian
from jacengine._extras import require_report
from jacengine._host import load_average
from jacengine.api.strategies import broken_plugins, known_strategies
from jacengine.bench.baselines import BASELINES
from jacengine.commands.output import output, print_records
from jacengine.commands.param_types import LIST_FORMAT_OPTION
from jacengine.errors import JacengineError, MissingExtraError, UnsupportedError
from jacengine.plans import disk_cache
from jacengine.report.formatting import count, seconds, visible
from jacengine.report.machine import Machine
from jacengine.selection.select import BUSY, load_of_a_core
from jacengine.tables import hanging

Status = Literal["ok", "warning", "failure"]
LOAD_S = 1.0
"""Seconds that the system load is measured for."""
COARSE_S = 1e-6
"""Seconds between two readings of a timer that is too coarse."""
_STYLES: dict[Status, str] = {"ok": "green", "warning": "yellow", "failure": "red"}


class Check(NamedTuple):
    """A check, its status and a message."""

    check: str
    status: Status
    message: str


@click.command("doctor")
@LIST_FORMAT_OPTION
@click.pass_context
def doctor_command(ctx: click.Context, form: str) -> None:
    """Check the machine, the strategies, plug-ins, other libraries and the cache."""
    checks = list(run_checks())
    if form == "json":
        print_records([check._asdict() for check in checks], form)
    else:
        console = output()
        for label, text in Machine.here().facts():
            console.print(hanging(f"{label}: {text}", "dim", console))
        for check, status, message in checks:
            line = hanging(f"{status:8}{visible(f'{check}: {message}')}", "", console)
            line.stylize(_STYLES[status], 0, len(status))
            console.print(line)
    ctx.exit(1 if any(check.status == "failure" for check in checks) else 0)


def run_checks() -> Iterator[Check]:
    """Run all checks."""
    yield _check_threads()
    yield _check_load()
    yield _check_timer()
    yield _check_cache()
    yield from map(check_strategy, known_strategies().names())
    for name, reason in broken_plugins().items():
        yield Check(f"plug-in {name}", "failure", reason)
    for baseline in BASELINES:
        absent = baseline.missing()
        yield Check(baseline.name, "warning" if absent else "ok", absent or "installed")


def check_strategy(name: str) -> Check:
    """Compute and verify small Jacobians by a strategy."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x = torch.linspace(-1, 1, 15, dtype=torch.float64).reshape(5, 3)
    computed: list[str] = []
    refusal = ""
    for wrt, label in ((0, "inputs"), ("params", "parameters")):
        try:
            jacobian(model, x, wrt=wrt, batch_dim=0, strategy=name)
        except UnsupportedError as error:
            refusal = str(error)
        except (JacengineError, RuntimeError, TypeError, ValueError) as error:
            return Check(name, "failure", f"{type(error).__name__}: {error}")
        else:
            computed.append(label)
    if not computed:
        return Check(name, "warning", f"unsupported: {refusal}")
    return Check(name, "ok", f"correct for {' and '.join(computed)}")


def _check_threads() -> Check:
    cores, threads = Machine.here().cores, torch.get_num_threads()
    message = f"{threads} of PyTorch on {cores} cores"
    if threads > cores:
        return Check("threads", "warning", f"{message}: too many; use --threads")
    return Check("threads", "ok", message)


def _check_load() -> Check:
    average = load_average()
    try:
        require_report("The load by other processes", ("psutil",))
    except MissingExtraError as error:
        return Check("load", "warning", f"load average {average:.1f}. {error}")
    from jacengine.sweep.system_load import (  # noqa: PLC0415 - it imports psutil
        HIGH_LOAD,
        SystemLoad,
    )

    load = SystemLoad()
    time.sleep(LOAD_S)
    share = load.share()
    message = f"others use {share:.0%} of the processors, load average {average:.1f}"
    if share > HIGH_LOAD:
        return Check("load", "warning", f"{message}: times will be unstable")
    if load_of_a_core() > BUSY:
        message += ": choices are made, and measured again once it is quiet"
        return Check("load", "warning", message)
    return Check("load", "ok", message)


def _check_timer() -> Check:
    readings = [time.perf_counter() for _ in range(1000)]
    step_s = min((b - a for a, b in pairwise(readings) if b > a), default=1.0)
    status: Status = "warning" if step_s > COARSE_S else "ok"
    return Check("timer", status, f"its resolution is {seconds(step_s)}")


def _check_cache() -> Check:
    folder = disk_cache.folder()
    if folder is None:
        return Check("cache", "warning", f"disabled ({disk_cache.VARIABLE} is empty)")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Check("cache", "warning", f"{folder} is not writable: {error.strerror}")
    entries = list(disk_cache.described())
    message = f"{folder} is writable, and holds {count(len(entries), 'choice')}"
    unstable = sum(entry.unstable for entry in entries)
    if unstable:
        message += f"; {unstable} measured on a busy machine, again once that is quiet"
    return Check("cache", "warning" if unstable else "ok", message)
