"""Opacus: each sample's gradient by hooks, for one output entry after another.

Its hooks use up what the forward pass left, so there is a forward pass an entry too.
A. Yousefpour et al., Opacus: User-friendly differential privacy library in PyTorch,
2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from jacengine.bench.baselines.baseline import Prepared
from jacengine.bench.baselines.by_outputs import (
    ByOutputs,
    by_outputs,
    entry_sum,
    own,
    taken,
    trained,
)
from jacengine.bench.peers import absent, peer
from jacengine.bench.workload import Question, Workload


@final
@dataclass(frozen=True)
class Opacus(ByOutputs):
    """`GradSampleModule`, one backward pass an output entry."""

    name: ClassVar[str] = "opacus.GradSampleModule"
    source: ClassVar[str] = "Opacus documentation"

    def missing(self) -> str | None:
        """Opacus is a package of its own."""
        return absent("opacus")

    def prepare(self, workload: Workload, size: int, question: Question) -> Prepared:
        """Put the hooks on a copy of the module."""
        del workload, size
        inner = own(question)
        module = peer("opacus").GradSampleModule(inner, loss_reduction="sum")
        params = trained(inner)

        def run() -> dict[str, Tensor]:
            waiting = [module(*question.args)]

            def gradients(entry: int) -> list[Tensor]:
                output = waiting.pop() if waiting else module(*question.args)
                entry_sum(output, entry).backward()
                return [taken(p, "grad_sample") for p in params.values()]

            return by_outputs(waiting[0], params, gradients)

        return Prepared(run)
