"""Two loops, over samples and over their outputs: what is written first."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar, final, get_args

from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.reference import reference
from jacengine.bench.workload import Question, Workload
from jacengine.problem.quantity import Quantity


@final
@dataclass(frozen=True)
class DoubleLoop(Baseline):
    """`torch.autograd.grad` for every output entry of every sample.

    For a Hessian, for every entry of that gradient too.
    """

    name: ClassVar[str] = "double loop"
    source: ClassVar[str] = "PyTorch forum, t/23494"
    quantities: ClassVar[frozenset[Quantity]] = frozenset(get_args(Quantity))

    def prepare(self, workload: Workload, size: int, question: Question) -> Prepared:
        """Nothing is done beforehand."""
        del workload, size
        return Prepared(functools.partial(reference, question))
