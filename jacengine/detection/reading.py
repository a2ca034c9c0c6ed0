"""Patterns read from the program of a function, or of its gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from jacengine.errors import UnsupportedError
from jacengine.patterns.pattern import Pattern
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.program.gradient import gradient_of
from jacengine.program.one_sample import SamplePrograms
from jacengine.program.pattern import read_pattern


def read(problem: Problem, bound: BoundFunction) -> Pattern:
    """Read the pattern of a call.

    Raises:
        UnsupportedError: It has no program, or an operator has no rule.
        RuntimeError: It cannot be captured or differentiated.
    """
    call = bound if problem.gradient is None else bound.of_values()
    captured = SamplePrograms(call, flat=True).of(call)
    values = captured.values(call)
    places = _places(problem, bound, captured.places, captured.inputs)
    starts = [k for k in places if k is not None]
    program = captured.program
    if problem.gradient is not None:
        if len(starts) < len(places):
            raise UnsupportedError("the function does not read all of its inputs")
        sizes = [spec.size for spec in problem.values]
        program = gradient_of(program, values, starts, sizes, joined=problem.joined)
    unknown = _unknown(call, captured.places, starts)
    found = read_pattern(program, values, starts, unknown)
    columns = _columns(problem, places)
    rows = sum(spec.size for spec in problem.outputs)
    if found.shape != (rows, columns.numel()):
        raise UnsupportedError("the program has other sizes")
    shape = (rows, problem.column_count)
    return Pattern(shape, found.rows, columns[found.columns], origin=found.origin)


def _columns(problem: Problem, places: list[int | None]) -> Tensor:
    """Return the columns of the inputs that a program reads."""
    every = torch.arange(problem.column_count, device="cpu")
    parts = every.split([spec.size for spec in problem.inputs])
    pairs = zip(parts, places, strict=True)
    return torch.cat([part for part, k in pairs if k is not None])


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


def _places(
    problem: Problem,
    bound: BoundFunction,
    places: tuple[int | None, ...],
    inputs: tuple[object, ...],
) -> list[int | None]:
    """Return the place of each input among a program's; `None`: it is not read.

    Raises:
        UnsupportedError: No input is read; or a parameter is not, unless by another
            road than its registration.
    """
    spec = problem.call_spec
    found: list[int | None] = [places[slot] for slot in spec.slots]
    if spec.names:
        by_identity = {id(x): k for k, x in enumerate(inputs)}
        found = [by_identity.get(id(p)) for p in bound.parameters()]
        if None in found:
            raise UnsupportedError("the function does not read all of its parameters")
    if not any(k is not None for k in found):
        raise UnsupportedError("the function does not read its inputs")
    return found
