"""Worlds of gloo processes that run one case after the other."""

from __future__ import annotations

import importlib
import os
import time
import traceback
import warnings
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

PATIENCE_S = 60.0
"""What a case may take at most, before the world counts as hung."""
AFTERWARDS_S = 10.0
"""What other ranks may take when one has failed."""


class World:
    """Some processes in a process group; each runs the same case.

    Attributes:
        size: How many there are.
    """

    def __init__(self, size: int, folder: Path) -> None:
        self.size = size
        context = get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for rank in range(size):
            ours, theirs = context.Pipe()
            args = (rank, size, str(folder / "store"), theirs)
            process = context.Process(target=serve, args=args, daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def run(self, module: str, case: str, *args: Any) -> list[Any]:
        """Run a case on all ranks; return what each returns.

        It is a function of a module below `tests.distributed`, called with the mesh.
        """
        for pipe in self._pipes:
            pipe.send((f"tests.distributed.{module}", case, args))
        said: dict[int, tuple[bool, Any]] = {}
        silent, until = dict(enumerate(self._pipes)), time.monotonic() + PATIENCE_S
        while silent and time.monotonic() < until:
            for rank, pipe in [*silent.items()]:
                if pipe.poll(0.01):
                    said[rank] = pipe.recv()
                    del silent[rank]
                    if not said[rank][0]:  # the others may wait for it forever
                        until = min(until, time.monotonic() + AFTERWARDS_S)
        failed = [
            f"rank {rank}:\n{text}" for rank, (ok, text) in said.items() if not ok
        ]
        failed += [f"rank {rank} hangs in {case}" for rank in silent]
        assert not failed, "\n".join(failed)
        return [said[rank][1] for rank in range(self.size)]

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(5)
            process.kill()


def serve(rank: int, size: int, store: str, pipe: Connection) -> None:
    """Run what is sent, until the other end is closed."""
    os.environ["JACENGINE_CACHE_DIR"] = ""
    import torch  # noqa: PLC0415 - in the child
    import torch.distributed as dist  # noqa: PLC0415
    from torch.distributed.device_mesh import init_device_mesh  # noqa: PLC0415

    torch.set_num_threads(1)
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", ".torch.jit.script", DeprecationWarning)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{store}",
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=PATIENCE_S),
    )
    mesh = init_device_mesh("cpu", (size,))
    while True:
        try:
            module, case, args = pipe.recv()
        except EOFError:
            os._exit(0)  # gloo may wait for ranks that are gone
        try:
            torch.manual_seed(0)
            found = getattr(importlib.import_module(module), case)(mesh, *args)
            pipe.send((True, found))
        except BaseException:
            pipe.send((False, traceback.format_exc()))
