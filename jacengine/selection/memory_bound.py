"""Memory that is negligible beside the budget, from what is known without a pass.

To measure the memory of a pass takes several times the pass itself where operators are
small. It is not done where even a generous bound of what a method may take is far below
the budget.
"""

from __future__ import annotations

from jacengine.execution.method import Method
from jacengine.problem.problem import Problem
from jacengine.selection.memory_model import Affine, MemoryModel

MULTIPLE = 4
"""What one direction may take, in forward passes with their inputs and outputs."""
OF_GRADIENTS = 3
"""... and of the gradient, in directions of the function."""
NEGLIGIBLE = 32
"""A bound is negligible if it fits into the budget so many times ..."""
MOST = 2**28
"""... and is no more than this: larger passes are not always the faster ones."""


def memory_bound(problem: Problem) -> MemoryModel:
    """Bound the peak memory of a method that takes all directions at once.

    One direction is taken to need what a recorded forward pass allocates, all inputs
    and outputs, and all that the function refers to, several times.
    """
    tensors = (*problem.inputs, *problem.outputs, *problem.values)
    sizes = sum(spec.size * spec.dtype.itemsize for spec in tensors)
    sizes = problem.forward_bytes + problem.held_bytes + problem.sample_count * sizes
    one = MULTIPLE * sizes
    if problem.gradient is not None:
        one *= OF_GRADIENTS
    return MemoryModel(Affine(one + 2 * problem.result_bytes, one))


def negligible_memory(
    problem: Problem, method: Method, budget: int
) -> MemoryModel | None:
    """Return the bound of a method's memory if it is negligible, else `None`.

    On CUDA the allocator counts at no price, so nothing is left to a bound there.
    """
    if problem.outputs[0].device.type == "cuda":
        return None
    bound = memory_bound(problem)
    peak = bound.peak(problem, method, method.directions(problem))
    return bound if peak <= min(MOST, budget // NEGLIGIBLE) else None
