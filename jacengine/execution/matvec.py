"""Products with given tangents or cotangents, by a method."""

from __future__ import annotations

import torch

from jacengine._torchfunc import Tensors
from jacengine.execution.execution_context import execution_context
from jacengine.execution.linearize import linearize, points
from jacengine.execution.method import Method
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem


def vjp_per_sample(
    problem: Problem, bound: BoundFunction, method: Method, cotangents: Tensors
) -> Tensors:
    """Pull one cotangent back, by a method whose passes serve all samples.

    Args:
        problem: What is differentiated.
        bound: The function at the arguments.
        method: A method of mode `vjp`.
        cotangents: One an output, `(B, *out)`.

    Returns:
        One product an input, `(B, *in)`.
    """
    parts: list[Tensors] = []
    with execution_context(problem, bound, method) as ready:
        for point, samples in points(problem, ready, method):
            linear_map = linearize(method.strategy, point)
            products = linear_map(tuple(c[samples].unsqueeze(0) for c in cotangents))
            parts.append(tuple(product.squeeze(0) for product in products))
    return tuple(torch.cat(those) for those in zip(*parts, strict=True))


def jvps(
    problem: Problem, bound: BoundFunction, method: Method, tangents: Tensors
) -> Tensors:
    """Push tangents forward.

    Args:
        problem: What is differentiated.
        bound: The function at the arguments.
        method: A method of mode `jvp`.
        tangents: One an input, `(K, *in)`, or `(K, B, *in)` where it has samples.

    Returns:
        One product an output, `(K, *out)` or `(K, B, *out)`.
    """
    parts: list[Tensors] = []
    count = tangents[0].shape[0]
    width = method.block_size or count
    sampled = [spec.batch_dim is not None for spec in problem.inputs]
    with execution_context(problem, bound, method) as ready:
        for point, samples in points(problem, ready, method):
            linear_map = linearize(method.strategy, point)
            own = [
                t[:, samples] if s else t
                for t, s in zip(tangents, sampled, strict=True)
            ]
            each = [
                linear_map(tuple(t[i : i + width] for t in own))
                for i in range(0, count, width)
            ]
            parts.append(tuple(map(torch.cat, zip(*each, strict=True))))
    if len(parts) == 1:
        return parts[0]
    return tuple(torch.cat(those, dim=1) for those in zip(*parts, strict=True))
