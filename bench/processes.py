"""Two processes of one thread, over a mesh, against one process of two threads.

    python -m jacengine.bench.processes --out reports/processes

Both compute the same Jacobian by a plan, in turns; the slower rank counts. Each rank
keeps its samples, as `mesh=` leaves them.
"""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click
import pandas as pd
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

import jacengine
from jacengine.bench.markdown import markdown_table
from jacengine.bench.workloads import WORKLOADS

NAMES = ("laplace", "tangent_kernel", "monte_carlo")
TOTAL = 2
"""Threads of both contenders altogether."""
PAUSE_S = 0.02
"""Seconds between two calls, in which idle threads of the other contender stop."""


def serve(rank: int, ranks: int, store: str, pipe: Connection) -> None:
    """Make a plan of each case that is sent, and time its calls, one at a time.

    Args:
        rank: The rank of this process.
        ranks: How many there are; one has no mesh.
        store: Where ranks meet.
        pipe: Sends `(name, size)` for a plan, or `None` for a call; closed at the end.
    """
    warnings.simplefilter("ignore")
    torch.set_num_threads(TOTAL // ranks)
    mesh: dict[str, Any] = {}
    if ranks > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{store}", rank=rank, world_size=ranks
        )
        mesh["mesh"] = init_device_mesh("cpu", (ranks,))
    workloads = {workload.name: workload for workload in WORKLOADS}
    plan, args = None, ()
    while True:
        try:
            case = pipe.recv()
        except EOFError:
            os._exit(0)  # gloo may wait for a rank that is gone
        if case is not None:
            name, size = case
            spec = workloads[name].build(size)
            args = spec.args
            plan = jacengine.plan(spec.fn, *args, **spec.options, **mesh)
        assert plan is not None
        if mesh:
            dist.barrier()
        begun = time.perf_counter()
        plan(*args)
        pipe.send(time.perf_counter() - begun)


@contextmanager
def processes(ranks: int, folder: Path) -> Generator[list[Connection]]:
    """Start ranks that serve, and end them.

    Yields:
        What each is talked to by.
    """
    context = get_context("spawn")
    pipes: list[Connection] = []
    started: list[Any] = []
    for rank in range(ranks):
        ours, theirs = context.Pipe()
        args = (rank, ranks, str(folder / f"store{ranks}"), theirs)
        started.append(context.Process(target=serve, args=args, daemon=True))
        started[-1].start()
        theirs.close()
        pipes.append(ours)
    try:
        yield pipes
    finally:
        for pipe, process in zip(pipes, started, strict=True):
            pipe.close()
            process.join(5)
            process.kill()


def slowest(pipes: Sequence[Connection], case: tuple[str, int] | None) -> float:
    """Have all ranks do the same; return the seconds of the slowest."""
    time.sleep(PAUSE_S)
    for pipe in pipes:
        pipe.send(case)
    found: list[float] = [pipe.recv() for pipe in pipes]
    return max(found)


def medians(
    contenders: Sequence[Sequence[Connection]], case: tuple[str, int], rounds: int
) -> list[float]:
    """Return the median seconds of each contender's calls, in interleaved rounds."""
    for pipes in contenders:
        slowest(pipes, case)  # which makes the plan
        slowest(pipes, None)
    turns = [[slowest(pipes, None) for pipes in contenders] for _ in range(rounds)]
    return [statistics.median(times) for times in zip(*turns, strict=True)]


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report.")
@click.option("--rounds", default=50, help="Calls of each.")
def main(out: Path | None, rounds: int) -> None:
    """Measure all sizes, and print or write a table."""
    os.environ["JACENGINE_CACHE_DIR"] = ""
    rows: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        processes(1, Path(folder)) as one,
        processes(TOTAL, Path(folder)) as several,
    ):
        for workload in (w for w in WORKLOADS if w.name in NAMES):
            for size in workload.sizes:
                threads_s, processes_s = medians(
                    (one, several), (workload.name, size), rounds
                )
                rows.append(
                    {
                        "work": workload.name,
                        "samples": size,
                        "1 process, 2 threads, ms": 1e3 * threads_s,
                        "2 processes, 1 thread, ms": 1e3 * processes_s,
                        "processes over threads": processes_s / threads_s,
                    }
                )
    text = "\n\n".join(
        [
            "# Processes against threads",
            f"`python -m jacengine.bench.processes` on {platform.machine()} "
            f"({torch.backends.cpu.get_cpu_capability()}), {os.cpu_count()} processors,"
            f" PyTorch {torch.__version__}; medians of {rounds} interleaved calls.",
            markdown_table(pd.DataFrame(rows)),
        ]
    )
    if out is None:
        click.echo(text)
    else:
        out.mkdir(parents=True, exist_ok=True)
        (out / "processes.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
