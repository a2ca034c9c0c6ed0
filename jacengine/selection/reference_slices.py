"""Samples that the reference is computed at together, so that it stays within a budget.

First derivatives need no slices: the analysis of a function, which always records a
forward pass of all samples and pulls back through it, takes as much as they do.
"""

from __future__ import annotations

import torch

from jacengine._torchfunc import Tensors
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.seeding.samples import SamplePolicy, at_samples, sliceable
from jacengine.task import balanced
from jacengine.tolerance import TOLERANCES

RECORDED = 12
"""What second derivatives take at most by plain autograd, in recorded forward passes:
the backward pass through a backward pass, and the graph of both."""
SHIFT = 0.1
"""How far samples are moved to compare slices of them with all of them again."""


def reference_slices(
    problem: Problem, bound: BoundFunction, budget: int | None
) -> tuple[slice, ...]:
    """Split the samples so that second derivatives by plain autograd fit a budget.

    Samples stay together where the function is another one on a part of them.
    """
    size, whole = problem.sample_count, (slice(0, problem.sample_count),)
    if budget is None or problem.gradient is None or problem.batch_size is None:
        return whole
    needed = RECORDED * problem.forward_bytes
    if needed <= budget or not sliceable(problem, SamplePolicy.BATCHED):
        return whole
    slices = tuple(balanced(size, max(1, size * budget // needed)))
    return slices if _alike(problem, bound, slices) else whole


def of_slice(problem: Problem, primals: Tensors, some: slice) -> Tensors:
    """Return the primals of a range of the samples."""
    return tuple(
        primal if spec.batch_dim is None else primal[some]
        for primal, spec in zip(primals, problem.inputs, strict=True)
    )


def _alike(problem: Problem, bound: BoundFunction, slices: tuple[slice, ...]) -> bool:
    """Tell whether the function computes the same of slices and of all samples.

    Not one that divides by the number of samples, or that takes no other number. Tried
    at the arguments and beside them, since values may vanish at an optimum.
    """
    plain = bound.of_values()
    for shift in (0.0, SHIFT):
        primals = tuple(p * (1 + shift) + shift for p in bound.primals(connected=False))
        try:
            with torch.no_grad(), problem.preserve_side_effects(bound.callee):
                whole = plain(*primals)
                for some in slices:
                    _, part = at_samples(problem, plain, some)
                    found = part(*of_slice(problem, primals, some))
                    for value, expected in zip(found, whole, strict=True):
                        tolerance = TOLERANCES[value.dtype].value
                        if not torch.allclose(
                            value,
                            expected[some],
                            rtol=tolerance,
                            atol=tolerance,
                            equal_nan=True,
                        ):
                            return False
        except (RuntimeError, IndexError):
            return False
    return True
