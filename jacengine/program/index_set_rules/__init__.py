"""Rules for sparsity patterns, by family of operators: one line a new operator.

A rule finds what the entries of an operator's result depend on from what those of its
operands do. What has no rule, and is not pointwise, is refused.
"""

from jacengine.program.index_set_rules import (
    contractions,
    movement,
    reductions,
    windows,
)
from jacengine.program.index_set_rules.table import RULES

__all__ = ["RULES", "contractions", "movement", "reductions", "windows"]
