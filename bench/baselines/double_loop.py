"""Two loops, over samples and over their outputs: what is written first."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar, final

from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.reference import reference
from jacengine.bench.workload import Question, Workload


@final
@dataclass(frozen=True)
class DoubleLoop(Baseline):
    """`torch.autograd.grad` for every output entry of every sample."""

    name: ClassVar[str] = "double loop"
    source: ClassVar[str] = "PyTorch forum, t/23494"

    def prepare(self, workload: Workload, size: int, question: Question) -> Prepared:
        """Nothing is done beforehand."""
        del workload, size
        return Prepared(functools.partial(reference, question))
