"""The projection `u^T J` by plain forward mode, for functions without a reverse mode.

A custom function may have a `jvp` alone. Each column of J is then a forward pass with
dual numbers, of which the projection takes one number a sample.
"""

from __future__ import annotations

import torch
from torch.autograd import forward_ad

from jacengine._locks import TORCH_GLOBAL_LOCK
from jacengine._torchfunc import Tensors
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem


def lacks_reverse_mode(error: BaseException) -> bool:
    """Tell whether an error says that a custom function has no backward pass."""
    return "must implement either the backward or vjp" in str(error)


def push_projection(problem: Problem, bound: BoundFunction, seeds: Tensors) -> Tensors:
    """Compute `u^T J`, one column after the other.

    Args:
        problem: What is differentiated.
        bound: The function at the arguments.
        seeds: The cotangents of the outputs.

    Returns:
        One an input, as plain reverse mode gives them.
    """
    primals = bound.primals(connected=False)
    found: list[torch.Tensor] = []
    for number, (primal, spec) in enumerate(zip(primals, problem.inputs, strict=True)):
        samples = 1 if spec.batch_dim is None else problem.sample_count
        product = primal.new_zeros(samples, spec.size)
        for column in range(spec.size):
            tangent = torch.zeros_like(primal)
            tangent.view(samples, spec.size)[:, column] = 1
            for seed, pushed in zip(
                seeds, _push(bound, primals, number, tangent), strict=True
            ):
                if pushed is not None:
                    part = (seed * pushed).reshape(samples, -1).sum(1)
                    product[:, column] += part.to(product)
        found.append(product.reshape(primal.shape))
    return tuple(found)


def _push(
    bound: BoundFunction, primals: Tensors, number: int, tangent: torch.Tensor
) -> list[torch.Tensor | None]:
    """Push a tangent of one primal through the function; `None` where it is zero."""
    with TORCH_GLOBAL_LOCK, torch.no_grad(), forward_ad.dual_level():
        dual = forward_ad.make_dual(primals[number], tangent)
        outputs = bound(*primals[:number], dual, *primals[number + 1 :])
        return [forward_ad.unpack_dual(output).tangent for output in outputs]
