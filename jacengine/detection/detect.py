"""Decide whether to look for sparsity, and find the pattern."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from jacengine._torchfunc import pull
from jacengine.detection.probing import probe
from jacengine.errors import ArgumentError, UnsupportedError
from jacengine.interface import Composition
from jacengine.patterns.given import PAIR
from jacengine.patterns.pattern import Pattern
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import SPARSE, Problem
from jacengine.seeding.colored import color_count
from jacengine.selection.verification import reference_context

WORTH_LOOKING = 64
"""Rows and columns from which a matrix may be worth looking at."""
SAMPLED = 3
"""Rows that are looked at first."""
VECTORISED = 4.0
"""A vectorised pass takes this share of the time of its directions one by one."""
SPARSE_ROW = 0.3
"""Share of a row's entries up to which it is called sparse."""
FEWER = 0.5
"""Colours are used if they are at most this share of the columns and rows."""
MOST_ENTRIES = 2**27
"""Entries of a pattern at most."""


def find_pattern(
    problem: Problem, bound: BoundFunction, compositions: Sequence[Composition]
) -> Pattern | None:
    """Find the sparsity pattern that a call asks for, or may gain from.

    Args:
        problem: What is computed.
        bound: The function at its arguments.
        compositions: The strategies whose products may be used.

    Returns:
        It; `None` if sparsity is not wanted or does not pay.

    Raises:
        ArgumentError: The user's pattern is of another shape, or not symmetric where a
            triangle is wanted.
        UnsupportedError: A sparse result is wanted where there is none.
    """
    shape, given = shape_of(problem), problem.options.sparsity
    wanted = is_asked_for(problem)
    reason = _unsuited(problem)
    if wanted and reason is not None:
        raise UnsupportedError(f"A sparse {problem.title} {reason}.")
    if isinstance(given, Pattern):
        return _checked(problem, _fitted(given, shape))
    if not wanted and sparse_rows(problem, bound) is None:
        return None
    found = detect(problem, bound, compositions)
    if wanted:
        return _checked(problem, found or _dense(problem, shape))
    if found is None:
        return None
    count = color_count(replace(problem, pattern=found))
    return found if count <= FEWER * min(shape) else None


def is_asked_for(problem: Problem) -> bool:
    """Tell whether the user asks for sparsity, which then needs not pay."""
    given, layout = problem.options.sparsity, problem.options.layout
    return layout in SPARSE or given == "detect" or isinstance(given, Pattern)


@dataclass(frozen=True)
class SparseRows:
    """A few rows of a matrix, which are sparse.

    Attributes:
        whole_s: What all rows (or columns) would take, by the time of those.
    """

    whole_s: float


def sparse_rows(problem: Problem, bound: BoundFunction) -> SparseRows | None:
    """Look at a few rows of a large matrix; return `None` if they are not sparse.

    Nor is a small one, or one that nobody wants to be looked at.
    """
    small = min(shape_of(problem)) < WORTH_LOOKING or problem.call_spec.names
    unwanted = problem.options.sparsity is None or _unsuited(problem) is not None
    if small or unwanted:
        return None
    try:
        started = time.perf_counter()
        shares = _row_shares(problem, bound)
        taken = time.perf_counter() - started
    except (RuntimeError, NotImplementedError):  # it has no reverse mode
        return None
    if statistics.median(shares) > SPARSE_ROW:
        return None
    return SparseRows(taken / SAMPLED * min(shape_of(problem)) / VECTORISED)


def detect(
    problem: Problem, bound: BoundFunction, compositions: Sequence[Composition]
) -> Pattern | None:
    """Read the pattern from the program, or find it by probing.

    Returns:
        It; `None` if the matrix is dense.
    """
    found = read_if_possible(problem, bound)
    return probe(problem, bound, compositions) if found is None else found


def read_if_possible(problem: Problem, bound: BoundFunction) -> Pattern | None:
    """Read the pattern from the program; `None` if there is none, or no rule."""
    if _unsuited(problem) is not None:
        return None
    from jacengine.detection.reading import read  # noqa: PLC0415 - imports a compiler

    try:
        return read(problem, bound)
    except Exception:  # whatever code that is not made for it raises
        return None


def shape_of(problem: Problem) -> tuple[int, int]:
    """Return the size of the matrix (of one sample): all outputs by all inputs."""
    rows = sum(spec.size for spec in problem.outputs)
    return rows, sum(spec.size for spec in problem.inputs)


def _unsuited(problem: Problem) -> str | None:
    """Say why sparsity cannot be used, if so."""
    reasons = {
        "is of a whole matrix": problem.part != "whole",
        "has all rows and columns; leave rows= and columns= out": problem.rows
        is not None
        or problem.columns is not None,
        "needs independent samples": problem.coupled,
        "needs a function without random numbers or state": problem.changes_state,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _row_shares(problem: Problem, bound: BoundFunction) -> list[float]:
    """Return the share of nonzeros in a few random rows, by plain autograd."""
    rows, columns = shape_of(problem)
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randint(
        0, rows, (SAMPLED,), generator=generator, device="cpu"
    ).tolist()
    shares: list[float] = []
    with reference_context(problem, bound):
        primals = bound.tracked()
        outputs = bound(*primals)
        for row in chosen:
            found = pull(outputs, primals, _one_row(problem, outputs, row))
            count = sum(int((g != 0).sum()) for g in found)
            shares.append(count / (columns * problem.sample_count))
    return shares


def _one_row(
    problem: Problem, outputs: Sequence[Tensor], row: int
) -> tuple[Tensor, ...]:
    """Return the cotangents that choose one output entry of every sample."""
    cotangents = tuple(map(torch.zeros_like, outputs))
    for cotangent, spec in zip(cotangents, problem.outputs, strict=True):
        if row < spec.size:
            cotangent.reshape(problem.sample_count, -1)[:, row] = 1
            break
        row -= spec.size
    return cotangents


def _dense(problem: Problem, shape: tuple[int, int]) -> Pattern:
    if shape[0] * shape[1] > MOST_ENTRIES:
        raise UnsupportedError(
            f"No sparsity was found in the {problem.title} of {shape[0]} x {shape[1]}, "
            "and all of it is too large for a pattern. Choose layout='flat', or give "
            "the pattern as sparsity= if you know it."
        )
    return Pattern.dense(shape, origin="dense")


def _checked(problem: Problem, pattern: Pattern) -> Pattern:
    if problem.options.triangle is not None and not pattern.symmetric:
        raise ArgumentError(
            f"triangle={problem.options.triangle!r} needs a symmetric pattern; that of "
            f"this {problem.title}, {pattern.shape[0]} x {pattern.shape[1]} and "
            f"{pattern.origin}, is not. Give both triangles as sparsity=, or leave "
            "triangle= out."
        )
    return pattern


def _fitted(given: Pattern, shape: tuple[int, int]) -> Pattern:
    if given.origin == PAIR:
        given = Pattern(shape, given.rows, given.columns)
    if given.shape != shape:
        raise ArgumentError(
            f"sparsity= has shape {given.shape}, but J has {shape[0]} rows (outputs, "
            f"flattened) and {shape[1]} columns (inputs, flattened; with batch_dim, of "
            "one sample)."
        )
    return given
