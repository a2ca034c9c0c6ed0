"""The Jacobian read off the function as a program: factors, in the cheapest order.

    J = J_k ... J_2 J_1,    between cuts that every path from input to output crosses

A sweep multiplies these factors from one end, and the first one by the identity. Here
the function is captured as a graph of operators. Between two cuts a linear layer's
Jacobian is its weight, a pointwise operator's a diagonal, and what else there is goes
by one vectorised JVP or VJP of its segment. A dynamic program finds the order: in a
network with a bottleneck the factors on both sides of it are formed first, and their
product is a matrix of low rank.

Cost: between a forward pass and a matrix product for each layer. Extra memory: the
factors. Nothing can be read off a function that branches on values, calls other
libraries, or brings its own derivative. The capture takes tenths of a second.

Source: U. Naumann, "Optimization of generalized Jacobian chain products without memory
constraints", 2020, https://arxiv.org/abs/2003.05755 ; A. Griewank, U. Naumann,
"Accumulating Jacobians as chained sparse matrix products", 2003.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

from torch import Tensor

from jacengine._torchfunc import Tensors, vmap
from jacengine.errors import UnsupportedError
from jacengine.interface import (
    Capabilities,
    LinearMap,
    Passes,
    Point,
    Strategy,
    Tuning,
    Unsupported,
)
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.program.eliminate import Elimination as Plan
from jacengine.program.one_sample import SamplePrograms
from jacengine.program.program import Program


@final
@dataclass(frozen=True)
class Elimination(Strategy):
    """Local Jacobians in closed form, multiplied in the order that costs least."""

    name: ClassVar[str] = "elimination"
    summary: ClassVar[str] = "local Jacobians, in the cheapest order"
    source: ClassVar[str] = "U. Naumann, 2020"
    wins: ClassVar[str] = "bottlenecks, chains of linear layers; compiled"
    capabilities: ClassVar[Capabilities] = Capabilities(
        mode="direct",
        gradients=(),
        records_graph=False,
        thread_safe=False,
        tunable=True,
        trusted=True,
        captures=True,
    )
    captured: _Captured | None = field(default=None, compare=False, repr=False)

    def check(self, problem: Problem) -> Unsupported | None:
        """Refuse what it does not read off a program."""
        options, spec = problem.options, problem.call_spec
        reasons = {
            "differentiates inputs, not parameters": bool(spec.names),
            "takes one input, and one output without aux": options.has_aux
            or (len(problem.inputs), len(problem.outputs)) != (1, 1),
            "does not evaluate the function for its value": options.with_value,
            "keeps no graph for create_graph=True": options.create_graph,
            "needs a function without random numbers or state": problem.changes_state,
            "needs samples that are independent, and their own input": problem.coupled
            or problem.shares,
        }
        found = (reason for reason, holds in reasons.items() if holds)
        reason = next(found, None)
        return None if reason is None else Unsupported(reason)

    def passes(self, blocks: int) -> Passes:
        """One forward pass, and one through the factors."""
        del blocks
        return Passes(forward=1, backward=1)

    def prepare(
        self, point: Point, tuning: Tuning, *, timed: bool
    ) -> tuple[Strategy, Tuning]:
        """Capture the function."""
        del timed
        captured = self.captured or _Captured(_call_of(point))
        captured.plan(_call_of(point), point.batch_size)
        return replace(self, captured=captured), tuning

    def linearize(self, point: Point) -> LinearMap:
        """Find today's tensors; form the matrix when it is asked for."""
        call, samples = _call_of(point), point.batch_size
        captured = self.captured or _Captured(call)
        plan, values, dims = captured.plan(call, samples)
        shape = point.primals[0].shape[0 if samples is None else 1 :]

        def one(*tensors: Tensor) -> Tensor:
            own = list(values)
            for (k, dim), tensor in zip(dims.items(), tensors, strict=True):
                own[k] = tensor.unsqueeze(dim)
            matrix = plan.jacobian(own)
            return matrix.reshape(matrix.shape[0], *shape)

        def rows(seeds: Tensors) -> Tensors:
            del seeds
            if samples is None:
                return (one(),)
            found: Tensor = vmap(one)(*(values[k] for k in dims))
            return (found.movedim(0, 1),)

        return rows


class _Captured:
    """The programs of a function, of one sample, and how to eliminate each."""

    def __init__(self, call: BoundFunction) -> None:
        """Prepare to capture calls of this signature."""
        self._programs = SamplePrograms(call)
        self._plans: dict[Program, Plan] = {}

    def plan(
        self, call: BoundFunction, samples: int | None
    ) -> tuple[Plan, Sequence[Any], dict[int, int]]:
        """Find out how to eliminate a call.

        Returns:
            The plan; what the inputs of its program are at this call, with samples in
            front; and which axis these have in the program, by place.

        Raises:
            UnsupportedError: The function has no program, or ignores its input.
        """
        spec, captured = call.call_spec, self._programs.of(call)
        values = [x.detach() if isinstance(x, Tensor) else x for x in captured.inputs]
        dims: dict[int, int] = {}
        for k, leaf, dim in zip(captured.places, call.leaves, spec.dims, strict=True):
            if k is not None and isinstance(leaf, Tensor):
                front = leaf if dim is None else leaf.movedim(dim, 0)
                values[k] = front.detach().contiguous()
                if dim is not None:
                    dims[k] = dim
        if captured.program not in self._plans:
            start = captured.places[spec.slots[0]]
            if start is None:
                raise UnsupportedError("the function does not read its input")
            plan = Plan.of(captured.program, start, samples or 1)
            self._plans[captured.program] = plan
        return self._plans[captured.program], values, dims


def _call_of(point: Point) -> BoundFunction:
    if point.call is None:
        raise UnsupportedError("there is no function to capture")
    return point.call
