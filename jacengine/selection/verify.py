"""Is what a method computed right?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from jacengine.problems.call import Call
from jacengine.problems.problem import Problem
from jacengine.products.accumulate import accumulate
from jacengine.products.method import Execution, Method
from jacengine.selection.truth import Truth
from jacengine.selection.verdict import Verdict


def verify(
    problem: Problem,
    call: Call,
    method: Method,
    truth: Truth,
    blocks: Sequence[Sequence[Tensor]],
) -> Verdict:
    """Judge a result; where the truth knows some entries of it, compute those again.

    Args:
        problem: What was computed.
        call: The function at the arguments.
        method: How.
        truth: What is right.
        blocks: The result.
    """
    exact = truth.exact
    if exact is None or exact.columns is None:
        return truth.judge(blocks)
    # What is compiled is of the whole, and was compared with this.
    eager = replace(method, execution=Execution.EAGER)
    return exact.judge(accumulate(exact.restricted(problem), call, eager))
