"""Whether a baseline works at all, tried at the workload's tiny size."""

from __future__ import annotations

import functools
import warnings
from dataclasses import replace

import torch

from jacengine.bench.baselines.baseline import Baseline
from jacengine.bench.workload import Question, Workload
from jacengine.errors import UnsupportedError
from jacengine.interface import Unsupported


def attempt(
    baseline: Baseline, workload: Workload, question: Question
) -> Unsupported | None:
    """Run a baseline once, on two samples of the tiny size.

    Args:
        baseline: Which one.
        workload: What is asked for.
        question: The same at the size that is asked for; gives device and dtype.

    Returns:
        `None` if it ran, else what it raised.
    """
    like: torch.Tensor = question.args[0]
    dtype = like.dtype if like.is_floating_point() else None
    return _tried(baseline, workload, like.device, dtype)


@functools.cache
def _tried(
    baseline: Baseline,
    workload: Workload,
    device: torch.device,
    dtype: torch.dtype | None,
) -> Unsupported | None:
    tiny = workload.build(workload.tiny).to(device=device, dtype=dtype)
    if tiny.batch_dim is not None:
        tiny = replace(tiny, args=tuple(arg[:2] for arg in tiny.args))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            baseline.prepare(workload, workload.tiny, tiny)()
    except UnsupportedError as error:
        return Unsupported(str(error))
    except Exception as error:
        said = next(iter(str(error).splitlines()), "")
        return Unsupported(f"{type(error).__name__}: {said}")
    return None
