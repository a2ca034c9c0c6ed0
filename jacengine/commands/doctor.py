"""`jacengine doctor`: can times be trusted here, and does everything work?"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import click
import psutil
import torch
from rich.markup import escape
from torch import nn

from jacengine import jacobian
from jacengine.api.builtin_registry import broken_plugins, known_strategies
from jacengine.bench.baselines import BASELINES
from jacengine.commands.consoles import output
from jacengine.commands.listing import LISTS, print_list
from jacengine.errors import JacengineError, UnsupportedError
from jacengine.plans import disk_cache
from jacengine.report.formatting import seconds
from jacengine.report.machine import Machine
from jacengine.sweep.system_load import LOUD, Disturbance

State = Literal["ok", "warning", "failure"]
WATCHED = 1.0
"""Seconds that the processors are watched for."""
COARSE = 1e-6
"""Seconds between two readings of a clock that is too coarse."""
_STYLES: dict[State, str] = {"ok": "green", "warning": "yellow", "failure": "red"}


@dataclass(frozen=True)
class Finding:
    """What was looked at, and what was seen."""

    what: str
    state: State
    said: str


@click.command("doctor")
@click.option(
    "--format", "form", type=click.Choice(LISTS), default="table", show_default=True
)
@click.pass_context
def doctor_command(ctx: click.Context, form: str) -> None:
    """Check the machine, the strategies, plug-ins, other libraries and the cache."""
    findings = list(examined())
    if form == "json":
        rows = [{"what": f.what, "state": f.state, "said": f.said} for f in findings]
        print_list(rows, form)
    else:
        console = output()
        for label, text in Machine.here().facts():
            console.print(f"{label}: {text}", style="dim", markup=False, soft_wrap=True)
        for finding in findings:
            style = _STYLES[finding.state]
            console.print(
                f"[{style}]{finding.state:8}[/]{escape(finding.what)}: "
                f"{escape(finding.said)}",
                soft_wrap=True,
            )
    ctx.exit(1 if any(finding.state == "failure" for finding in findings) else 0)


def examined() -> Iterator[Finding]:
    """Look at everything."""
    yield _threads()
    yield _load()
    yield _timer()
    yield _cache()
    registry = known_strategies()
    for name in registry.names():
        yield self_test(name)
    for name, reason in broken_plugins().items():
        yield Finding(f"plug-in {name}", "failure", reason)
    for baseline in BASELINES:
        absent = baseline.missing()
        state: State = "ok" if absent is None else "warning"
        yield Finding(baseline.name, state, absent or "installed")


def self_test(name: str) -> Finding:
    """Have a strategy compute small Jacobians, which are verified."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x = torch.linspace(-1, 1, 15, dtype=torch.float64).reshape(5, 3)
    tried: list[str] = []
    declined = ""
    for wrt in (0, "params"):
        try:
            jacobian(model, x, wrt=wrt, batch_dim=0, strategy=name)
        except UnsupportedError as error:
            declined = str(error)
        except (JacengineError, RuntimeError, TypeError, ValueError) as error:
            return Finding(name, "failure", f"{type(error).__name__}: {error}")
        else:
            tried.append("inputs" if wrt == 0 else "parameters")
    if not tried:
        return Finding(name, "warning", f"declines: {declined}")
    return Finding(name, "ok", f"right on {' and '.join(tried)}")


def _threads() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    cores = cores or os.cpu_count() or 1
    threads = torch.get_num_threads()
    said = f"{threads} of PyTorch on {cores} cores"
    if threads > cores:
        return Finding(
            "threads", "warning", f"{said}: they wait for each other; use --threads"
        )
    return Finding("threads", "ok", said)


def _load() -> Finding:
    disturbance = Disturbance()
    time.sleep(WATCHED)
    share = disturbance.share()
    said = (
        f"others take {share:.0%} of the processors, load average "
        f"{psutil.getloadavg()[0]:.1f}"
    )
    if share > LOUD:
        return Finding("load", "warning", f"{said}: times will be unstable")
    return Finding("load", "ok", said)


def _timer() -> Finding:
    readings = [time.perf_counter() for _ in range(1000)]
    steps = [b - a for a, b in itertools.pairwise(readings) if b > a]
    step = min(steps, default=1.0)
    state: State = "warning" if step > COARSE else "ok"
    return Finding("timer", state, f"resolves {seconds(step)}")


def _cache() -> Finding:
    place = disk_cache.folder()
    if place is None:
        return Finding(
            "cache", "warning", f"switched off ({disk_cache.VARIABLE} is empty)"
        )
    try:
        place.mkdir(parents=True, exist_ok=True)
        probe = place / f".probe-{os.getpid()}"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        return Finding("cache", "warning", f"{place} is not writable: {error.strerror}")
    return Finding("cache", "ok", f"{place} is writable")
