"""Products with given tangents or cotangents, by a method."""

from __future__ import annotations

import torch

from jacengine._torchfunc import Tensors
from jacengine.execution.execution_context import execution_context
from jacengine.execution.linearize import linearize, points
from jacengine.execution.method import Method
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem


def matvec(
    problem: Problem, bound: BoundFunction, method: Method, seeds: Tensors
) -> Tensors:
    """Push tangents forward, or pull cotangents back, as the method's mode is.

    Args:
        problem: What is differentiated.
        bound: The function at the arguments.
        method: One of which a pass serves all samples.
        seeds: One an input (or output), `(K, *in)`, or `(K, B, *in)` with samples.

    Returns:
        One product an output (or input), likewise.
    """
    sampled = [spec.batch_dim is not None for spec in problem.inputs]
    if method.capabilities.mode == "vjp":
        sampled = [problem.batch_size is not None] * len(seeds)
    count = seeds[0].shape[0]
    width = method.block_size or count
    parts: list[Tensors] = []
    with execution_context(problem, bound, method) as ready:
        for point, samples in points(problem, ready, method):
            linear_map = linearize(method.strategy, point)
            own = [
                t[:, samples] if s else t for t, s in zip(seeds, sampled, strict=True)
            ]
            each = [
                linear_map(tuple(t[i : i + width] for t in own))
                for i in range(0, count, width)
            ]
            parts.append(tuple(map(torch.cat, zip(*each, strict=True))))
    if len(parts) == 1:
        return parts[0]
    return tuple(torch.cat(those, dim=1) for those in zip(*parts, strict=True))
