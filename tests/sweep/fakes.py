"""Workloads that take no time, and some that crash or hang; imported by workers too."""

import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NoReturn

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from jacengine.bench.workload import DerivativeSpec, Workload


def fine(size: int) -> DerivativeSpec:
    weight = torch.linspace(-1, 1, 3 * size).reshape(size, 3)
    return DerivativeSpec(lambda x: torch.tanh(x @ weight), (torch.ones(2, size),))


def slow(size: int) -> DerivativeSpec:
    time.sleep(1.5)
    return fine(size)


def crash(size: int) -> NoReturn:
    sys.stderr.write("last words\n")
    sys.stderr.flush()
    os._exit(size)


def kill(size: int) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError(size)


def hang(size: int) -> NoReturn:
    while True:
        time.sleep(size)


def fail(size: int) -> NoReturn:
    raise ValueError(f"no [bold]{size}[/] today")


def misfit(size: int) -> DerivativeSpec:
    return DerivativeSpec(lambda x: torch.ones(size).int(), (torch.ones(2, size),))


def alone(size: int) -> DerivativeSpec:
    """Make a function that crashes on a single sample."""
    weight = torch.linspace(-1, 1, 3 * size).reshape(size, 3)

    def fn(x: Tensor) -> Tensor:
        if x.shape[0] == 1 and not is_functorch_wrapped_tensor(x):
            os._exit(9)
        return torch.tanh(x @ weight)

    return DerivativeSpec(fn, (torch.ones(2, size),))


def workload(name: str, build: Callable[[int], DerivativeSpec]) -> Workload:
    return Workload(name, "made up", f"Tests {name}.", "width", (2, 3, 4), 1, build)


FINE = (workload("one", fine), workload("two", fine), workload("three", fine))
SLOW = (workload("one", slow), workload("two", slow), workload("three", slow))
HARMFUL = (
    workload("crashes", crash),
    workload("is_killed", kill),
    workload("hangs", hang),
    workload("raises", fail),
    workload("misfits", misfit),
    workload("alone", alone),
    workload("one", fine),
)
TWICE = (workload("one", fine), workload("one", fine))
NOT_ONE = 3


def pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(2, mp_context=get_context("spawn"))
