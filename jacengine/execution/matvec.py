"""Products with directions that are not the basis."""

from __future__ import annotations

import torch

from jacengine._torchfunc import Tensors
from jacengine.execution.execution_context import execution_context
from jacengine.execution.linearize import linearized, points
from jacengine.execution.method import Method
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem


def pull_all_samples(
    problem: Problem, bound: BoundFunction, method: Method, cotangents: Tensors
) -> Tensors:
    """Pull one cotangent `(B, *out)` back by a method that takes samples together.

    Returns:
        One product an input, `(B, *in)`.
    """
    parts: list[Tensors] = []
    with execution_context(problem, bound, method) as ready:
        for point, samples in points(problem, ready, method):
            action = linearized(method.strategy, point)
            products = action(tuple(c[samples].unsqueeze(0) for c in cotangents))
            parts.append(tuple(product.squeeze(0) for product in products))
    return tuple(torch.cat(those) for those in zip(*parts, strict=True))


def push_directions(
    problem: Problem, bound: BoundFunction, method: Method, tangents: Tensors
) -> Tensors:
    """Push directions that are not the basis.

    Args:
        problem: What is differentiated.
        bound: The function at the arguments.
        method: A pushforward.
        tangents: One an input, `(K, *in)`, or `(K, B, *in)` where it has samples.

    Returns:
        One product an output, `(K, *out)` or `(K, B, *out)`.
    """
    parts: list[Tensors] = []
    width = method.block_size or tangents[0].shape[0]
    samples = [leaf.batch_dim is not None for leaf in problem.inputs]
    with execution_context(problem, bound, method) as ready:
        for point, some in points(problem, ready, method):
            action = linearized(method.strategy, point)
            own = [
                t[:, some] if s else t for t, s in zip(tangents, samples, strict=True)
            ]
            each = [
                action(tuple(t[i : i + width] for t in own))
                for i in range(0, tangents[0].shape[0], width)
            ]
            parts.append(tuple(map(torch.cat, zip(*each, strict=True))))
    if len(parts) == 1:
        return parts[0]
    return tuple(torch.cat(those, dim=1) for those in zip(*parts, strict=True))
