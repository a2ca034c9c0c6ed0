"""The sparsity pattern of a function, read from its program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from jacengine.patterns.pattern import Pattern
from jacengine.program.index_set_rules import RULES
from jacengine.program.index_sets import IndexSets
from jacengine.program.program import Program, shape_of

ORIGIN = "read from the program, at all points"
"""The origin of what is found so."""


def read_pattern(
    program: Program, values: Sequence[Any], starts: Sequence[int]
) -> Pattern:
    """Find which inputs each output depends on.

    Args:
        program: The program.
        values: Its inputs today.
        starts: The places of those that are differentiated, in order.

    Raises:
        UnsupportedError: An operator has no rule, or the matrix is not sparse.
    """
    walk = IndexSets(program, values, starts, RULES)
    found = walk.of_output()
    rows = shape_of(program.output).numel()
    if found is None:
        none = torch.zeros(0, dtype=torch.int64)
        return Pattern((rows, walk.columns), none, none, origin=ORIGIN)
    entries = found.tocoo()
    return Pattern((rows, walk.columns), entries.row, entries.col, origin=ORIGIN)
