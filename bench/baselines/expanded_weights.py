"""PyTorch's own per-sample gradients: ExpandedWeights.

Parameters that remember their samples pass through the layers by `__torch_function__`;
one backward pass an output entry fills `grad_sample`. A prototype, in
`torch.nn.utils._per_sample_grad`; see pytorch/pytorch#70151.
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
from jacengine.bench.peers import peer
from jacengine.bench.workload import Question, Workload


@final
@dataclass(frozen=True)
class ExpandedWeights(ByOutputs):
    """`call_for_per_sample_grads`, one backward pass an output entry."""

    name: ClassVar[str] = "ExpandedWeights"
    source: ClassVar[str] = "torch.nn.utils._per_sample_grad"

    def prepare(self, workload: Workload, size: int, question: Question) -> Prepared:
        """Take a copy of the module, whose parameters get the gradients."""
        del workload, size
        module = own(question)
        params = trained(module)
        per_sample = peer("torch.nn.utils._per_sample_grad").call_for_per_sample_grads

        def run() -> dict[str, Tensor]:
            output = per_sample(module)(*question.args)

            def gradients(entry: int) -> list[Tensor]:
                entry_sum(output, entry).backward(retain_graph=True)
                return [taken(p, "grad_sample") for p in params.values()]

            return by_outputs(output, params, gradients)

        return Prepared(run)
