"""Random signs: the directions of Hutchinson's estimator."""

from __future__ import annotations

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.problem.problem import Problem


def random_signs(problem: Problem, count: int, generator: torch.Generator) -> Tensors:
    """Draw tangents of random signs, zero at input entries that are not chosen.

    Args:
        problem: Whose inputs they are tangents of.
        count: The number of directions, `K`.
        generator: What to draw with.

    Returns:
        One an input, `(K, *in)`, or `(K, B, *in)` where it has samples.
    """
    sizes = [spec.size for spec in problem.inputs]
    chosen = torch.zeros(sum(sizes), device="cpu")
    chosen[slice(None) if problem.columns is None else problem.columns] = 1
    drawn: list[Tensor] = []
    for spec, mask in zip(problem.inputs, chosen.split(sizes), strict=True):
        samples = () if spec.batch_dim is None else (problem.sample_count,)
        shape = (count, *samples, *spec.shape)
        signs = torch.randint(0, 2, shape, generator=generator, device="cpu") * 2 - 1
        drawn.append((signs * mask.view(spec.shape)).to(spec.device, spec.dtype))
    return tuple(drawn)
