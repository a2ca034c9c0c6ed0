"""The worker process, `python -m` this module: measures cases on request.

A request is a line of JSON on standard input, a response one on standard output. The
output of libraries goes to standard error instead. When standard input ends, the parent
process is gone, and the worker exits at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from typing import IO, Any

import torch

from jacengine._host import address_space_bytes
from jacengine.report.results import case_to_json
from jacengine.selection.free_memory import free_bytes
from jacengine.sweep.case_spec import CaseSpec, Settings
from jacengine.sweep.catalogue import load_workloads
from jacengine.sweep.measure import measure
from jacengine.sweep.roofline import measure_roofline

MEMORY_SHARE = 0.95
"""Share of the free memory that a case may use before allocations fail."""


def main() -> None:
    """Respond to requests until standard input ends."""
    responses = _take_standard_output()

    def respond(**content: Any) -> None:
        responses.write(json.dumps(content) + "\n")
        responses.flush()

    respond(ready=True)
    for request in _requests():
        if "roofline" in request:
            rates = measure_roofline(torch.device(request["roofline"]))
            respond(roofline=asdict(rates))
            continue
        spec = CaseSpec(**request["case"])
        settings = Settings.from_json(request["settings"])
        workloads = {w.name: w for w in load_workloads(settings.catalogue)}
        torch.manual_seed(settings.seed)
        if spec.device == "cpu":
            _limit_memory()
        case = measure(
            spec,
            workloads[spec.workload],
            settings,
            announce=lambda name: respond(candidate=name),
            crashes=request["crashes"],
        )
        respond(case=case_to_json(case))


def _take_standard_output() -> IO[str]:
    """Reserve standard output for responses; other output goes to standard error."""
    responses = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return responses


def _requests() -> Iterator[dict[str, Any]]:
    """Yield requests; a thread reads them, and exits when the input ends."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield json.loads(lines.get())


def _limit_memory() -> None:
    """Have allocations beyond the free memory fail instead of ending the process."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - it does not exist on Windows

        allowed = address_space_bytes() + int(
            MEMORY_SHARE * free_bytes(torch.device("cpu"))
        )
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard != resource.RLIM_INFINITY:
            allowed = min(allowed, hard)
        resource.setrlimit(resource.RLIMIT_AS, (allowed, hard))


def set_threads(count: int | None) -> None:
    """Set the threads of PyTorch, and the processors for libraries that ignore it."""
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
