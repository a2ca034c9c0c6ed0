"""Two calls of `torch.autograd.grad`, with sums over the samples.

What users of physics-informed networks write: the gradient of the sum is each sample's
own, and so is that of each entry's sum. See
https://deepxde.readthedocs.io/en/latest/modules/deepxde.gradients.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from jacengine.bench.baselines.attempt import attempt
from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.baselines.varied import Varied
from jacengine.bench.workload import Question, Workload
from jacengine.errors import UnsupportedError
from jacengine.interface import Unsupported
from jacengine.problem.quantity import SECOND_ORDER, Quantity


@final
@dataclass(frozen=True)
class GradTwice(Baseline):
    """One pass back for the gradients, and one more for each of their entries."""

    name: ClassVar[str] = "grad(grad.sum())"
    source: ClassVar[str] = "PyTorch forum and DeepXDE"
    quantities: ClassVar[frozenset[Quantity]] = SECOND_ORDER

    def declines(
        self, workload: Workload, size: int, question: Question
    ) -> Unsupported | None:
        """Try it at the tiny size, by the inputs of samples."""
        del size
        if question.wrt == "params" or question.batch_dim is None:
            return Unsupported("no inputs of samples: it would be the double loop")
        return attempt(self, workload, question)

    def prepare(self, workload: Workload, size: int, question: Question) -> Prepared:
        """Look at the output, which must be one number a sample."""
        del workload, size
        varied = Varied.of(question)
        if varied.out_shape.numel() != 1:
            raise UnsupportedError("a sample has several outputs, which sums would mix")
        lead = (len(varied.value), *varied.out_shape)
        inner = varied.value.shape[1:]

        def run() -> Tensor:
            x = varied.value.detach().requires_grad_()
            summed = varied.fn(x, *varied.rest).sum()
            (slope,) = torch.autograd.grad(summed, x, create_graph=True)
            entries = slope.flatten(1).sum(0)
            rows = (
                torch.autograd.grad(entry, x, retain_graph=True)[0].flatten(1)
                for entry in entries
            )
            if question.quantity == "hessian":
                return torch.stack(list(rows), 1).reshape(*lead, *inner, *inner)
            diagonal = (row[:, i] for i, row in enumerate(rows))
            if question.quantity == "laplacian":
                return torch.stack(list(diagonal)).sum(0).reshape(lead)
            return torch.stack(list(diagonal), 1).reshape(*lead, *inner)

        return Prepared(run)
