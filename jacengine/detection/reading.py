"""Patterns read from the program of a function, or of its gradient."""

from __future__ import annotations

from torch import Tensor

from jacengine.errors import UnsupportedError
from jacengine.patterns.pattern import Pattern
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.program.one_sample import SamplePrograms
from jacengine.program.pattern import read_pattern
from jacengine.program.program import gradient_of


def read(problem: Problem, bound: BoundFunction) -> Pattern:
    """Read the pattern of a call.

    Raises:
        UnsupportedError: It has no program, or an operator has no rule.
        RuntimeError: It cannot be captured or differentiated.
    """
    if problem.options.has_aux or len(problem.values) != 1:
        raise UnsupportedError("only functions of one output are read")
    call = bound if problem.gradient is None else bound.of_values()
    captured = SamplePrograms(call).of(call)
    values = captured.values(call)
    starts = _starts(problem, bound, captured.places, captured.inputs)
    program = captured.program
    if problem.gradient is not None:
        if problem.values[0].size != 1 or len(starts) != 1:
            raise UnsupportedError("only gradients of one number by one input are read")
        program = gradient_of(program, values, starts[0])
    unknown = _unknown(call, captured.places, starts)
    found = read_pattern(program, values, starts, unknown)
    rows = sum(spec.size for spec in problem.outputs)
    if found.shape != (rows, problem.column_count):
        raise UnsupportedError("the program has other sizes")
    return found


def _unknown(
    call: BoundFunction, places: tuple[int | None, ...], starts: list[int]
) -> list[int]:
    """Return the places of arguments whose values are not part of a pattern.

    Those of each sample differ, and floating-point ones from call to call; indices are
    taken to stay.
    """
    spec = call.call_spec
    return [
        k
        for k, leaf, dim in zip(places, call.leaves, spec.dims, strict=True)
        if k is not None
        and k not in starts
        and isinstance(leaf, Tensor)
        and (dim is not None or leaf.is_floating_point())
    ]


def _starts(
    problem: Problem,
    bound: BoundFunction,
    places: tuple[int | None, ...],
    inputs: tuple[object, ...],
) -> list[int]:
    """Return the places of what is differentiated among a program's inputs."""
    spec = problem.call_spec
    if spec.names:
        by_identity = {id(x): k for k, x in enumerate(inputs)}
        found = [by_identity.get(id(p)) for p in bound.parameters()]
    else:
        found = [places[slot] for slot in spec.slots]
    starts = [k for k in found if k is not None]
    if len(starts) < len(found):
        raise UnsupportedError("the function does not read all of its inputs")
    return starts
