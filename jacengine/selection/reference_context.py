"""The context in which the reference derivative is computed."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from contextlib import contextmanager

import torch

from jacengine._locks import TORCH_GLOBAL_LOCK
from jacengine.problem.problem import Problem
from jacengine.problem.side_effects import preserve_side_effects


@contextmanager
def reference_context(problem: Problem) -> Generator[None]:
    """Record a graph, whatever mode is set; restore random state and buffers."""
    with (
        torch.inference_mode(mode=False),
        torch.enable_grad(),
        TORCH_GLOBAL_LOCK if problem.changes_state else contextlib.nullcontext(),
        preserve_side_effects(problem.devices, problem.stateful),
    ):
        yield
