"""Plans that use compiled code, and what they should compute."""

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import jacengine

COMPILING = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler"),
    # Torch's own, of its own code.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
"""Marks of tests that compile."""


def compiled_plan(fn: Any, *args: Any, **options: Any) -> jacengine.Plan:
    """Make a plan that uses compiled code, however slow that is."""
    plan = jacengine.plan(fn, *args, compiled=True, effort="none", **options)
    those = [record for record in plan.selection.ranked if record.compiled]
    assert those, plan.explain()
    plan._use(tuple(those))
    return plan


def programs(plan: jacengine.Plan) -> int:
    """Count the programs that were compiled for a plan."""
    assert plan._sweep is not None
    compiled = plan._sweep._compiled
    assert compiled is not None
    return compiled._made


def right(fn: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Compute the Jacobian of each sample by plain loops."""
    samples: list[Tensor] = []
    for one in x:
        own = one.clone().requires_grad_()
        out = fn(own.unsqueeze(0))[0]
        rows = [torch.autograd.grad(o, own, retain_graph=True)[0] for o in out]
        samples.append(torch.stack(rows))
    return torch.stack(samples)
