"""Which operator of a program reads several samples, and where in the user's code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from jacengine.program.index_set_rules import RULES
from jacengine.program.index_sets import IndexSets
from jacengine.program.operators import source_line
from jacengine.program.program import Program


def coupling_operator(
    program: Program, values: Sequence[Any], samples: Mapping[int, Tensor]
) -> str | None:
    """Name the first operator that couples samples, and its line.

    Args:
        program: The program, of the whole batch.
        values: Its inputs today.
        samples: The sample of each entry of the inputs that have samples, by place.

    Returns:
        The name; `None` if no operator couples them.

    Raises:
        UnsupportedError: An operator has no rule.
    """
    for node, found in IndexSets(program, values, samples, RULES).walk():
        for sets in found if isinstance(found, tuple) else (found,):
            if sets is not None and bool((np.diff(sets.indptr) > 1).any()):
                name, place = str(node.target), source_line(node)
                return name if place is None else f"{name}, in {place}"
    return None
