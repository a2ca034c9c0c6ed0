"""The sparsity pattern of a function, read from its program."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from torch import Tensor

from jacengine.patterns.pattern import Pattern
from jacengine.program.index_set_rules import RULES
from jacengine.program.index_sets import IndexSets, NoRuleError, numbers
from jacengine.program.operators import shape_of
from jacengine.program.program import Program, decomposed

ORIGIN = "read from the program, at all points"
"""The origin of what is found so."""


def read_pattern(
    program: Program,
    values: Sequence[Any],
    starts: Sequence[int],
    unknown: Collection[int] = (),
) -> Pattern:
    """Find which inputs each output depends on.

    Args:
        program: The program.
        values: Its inputs today.
        starts: The places of those that are differentiated, in order.
        unknown: The places of those whose values are not to be read.

    Raises:
        UnsupportedError: An operator has no rule, or the matrix is not sparse.
    """
    try:
        return _read(program, values, starts, unknown)
    except NoRuleError:
        return _read(decomposed(program, values), values, starts, unknown)


def _read(
    program: Program,
    values: Sequence[Any],
    starts: Sequence[int],
    unknown: Collection[int],
) -> Pattern:
    labels: dict[int, Tensor] = {}
    first = 0
    for k in starts:
        own = shape_of(program.inputs[k])
        labels[k] = first + numbers(own)
        first += own.numel()
    walk = IndexSets(program, values, labels, RULES, unknown=unknown)
    found = walk.of_output()
    shape = (shape_of(program.output).numel(), first)
    if found is None:
        return Pattern(shape, [], [], origin=ORIGIN)
    entries = found.tocoo()
    return Pattern(shape, entries.row, entries.col, origin=ORIGIN)
