"""A process that is forked while another thread computes."""

import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

import jacengine
from tests.problems import mlp, randn

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]
MODEL, X, MANY = mlp(3, 8, 4), randn(5, 3), randn(500, 3)


@contextmanager
def busy() -> Generator[None]:
    """Compute in forward mode, which holds the lock, in another thread."""
    plan = jacengine.plan(MODEL, MANY, batch_dim=0, strategies=["forward_dual"])
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            plan(MANY)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def forked(run: Callable[[], Any], wanted: torch.Tensor) -> int:
    """Run something in a child process; return its status, 0 if it is right."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(20)
            status = 0 if torch.allclose(run(), wanted) else 2
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


CALLS: dict[str, Callable[[], Any]] = {
    "auto": lambda: jacengine.auto(MODEL, X, batch_dim=0),
    "anew": lambda: jacengine.auto(lambda x: 1 * MODEL(x), X, batch_dim=0),
    "forward": lambda: jacengine.jacobian(MODEL, X, batch_dim=0, strategy="vmap_jvp"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_child_does_not_wait_for_a_thread_that_is_not_there(
    call: Callable[[], Any],
) -> None:
    wanted = jacengine.auto(MODEL, X, batch_dim=0)
    with busy():
        time.sleep(0.1)
        statuses = [forked(call, wanted) for _ in range(3)]
    assert statuses == [0, 0, 0]
