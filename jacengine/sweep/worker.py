"""The worker process: measures the cases that it is asked for, `python -m` this module.

A request is a line of JSON on standard input, an answer one on standard output. What
libraries print goes to standard error instead. When standard input ends, whoever
started the worker is gone, and it ends at once, whatever it is doing.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
from collections.abc import Iterator
from typing import IO, Any

import psutil
import torch

from jacengine.report.results import case_to_json
from jacengine.selection.budget import free_bytes
from jacengine.sweep.catalogue import load_workloads
from jacengine.sweep.measure import measure
from jacengine.sweep.messages import read_request
from jacengine.sweep.roofline import measure_rates

RESERVE = 0.95
"""Share of the free memory that a case may take before allocations are refused."""


def main() -> None:
    """Answer requests until there are no more."""
    answers = _answers()

    def answer(**content: Any) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    answer(ready=True)
    for line in _requests():
        content = json.loads(line)
        if content["do"] == "rates":
            rates = measure_rates(torch.device(content["device"]))
            answer(rates=[rates.fill, rates.matmul])
            continue
        trial, settings, avoid = read_request(content)
        found = {w.name: w for w in load_workloads(settings.catalogue)}
        torch.manual_seed(settings.seed)
        if trial.device == "cpu":
            _refuse_what_is_not_there()
        case = measure(
            trial,
            found[trial.workload],
            settings,
            tell=lambda name: answer(at=name),
            avoid=avoid,
        )
        answer(case=case_to_json(case))


def _answers() -> IO[str]:
    """Keep standard output for answers; what others print goes to standard error."""
    kept = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return kept


def _requests() -> Iterator[str]:
    """Yield requests; a thread reads them and notices their end in time."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield lines.get()


def _refuse_what_is_not_there() -> None:
    """Have allocations beyond the free memory fail, instead of getting us killed."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - there is none on Windows

        taken = psutil.Process().memory_info().vms
        allowed = taken + int(RESERVE * free_bytes(torch.device("cpu")))
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard != resource.RLIM_INFINITY:
            allowed = min(allowed, hard)
        resource.setrlimit(resource.RLIMIT_AS, (allowed, hard))


def set_threads(count: int | None) -> None:
    """Use so many threads, and so many processors: not every library obeys torch."""
    if count is None:
        return
    torch.set_num_threads(count)
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if count < len(cores):
            os.sched_setaffinity(0, cores[-count:])


if __name__ == "__main__":
    set_threads(int(sys.argv[1]) if len(sys.argv) > 1 else None)
    main()
