"""Plain autograd, as a reference: whatever is set, and without a trace."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from contextlib import contextmanager

import torch

from jacengine._threads import ALONE
from jacengine.problems.problem import Problem
from jacengine.problems.state import preserved


@contextmanager
def plainly(problem: Problem) -> Generator[None]:
    """Record what runs inside; random state and buffers are put back afterwards."""
    with (
        torch.inference_mode(mode=False),
        torch.enable_grad(),
        ALONE if problem.changes_state else contextlib.nullcontext(),
        preserved(problem.devices, problem.stateful),
    ):
        yield
