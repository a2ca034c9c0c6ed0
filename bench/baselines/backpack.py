"""BackPACK, in the two ways of its example of batched Jacobians.

`BatchGrad` takes one backward pass an output entry; `SqrtGGNExact` takes one in all,
because the square root of a square loss's Gauss-Newton matrix is the Jacobian times the
square root of two. See
https://docs.backpack.pt/en/master/use_cases/example_batched_jacobians.html and
F. Dangel, F. Kunstner, P. Hennig, BackPACK: Packing more into backprop, 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import ClassVar, final

import torch
from torch import Tensor, nn

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


class _BackPACK(ByOutputs):
    source: ClassVar[str] = "BackPACK's example of batched Jacobians"

    def missing(self) -> str | None:
        """BackPACK is a package of its own."""
        return absent("backpack")


@final
@dataclass(frozen=True)
class BatchGrad(_BackPACK):
    """Each sample's gradient, for one output entry after another."""

    name: ClassVar[str] = "backpack.BatchGrad"

    def prepare(self, workload: Workload, size: int, question: Question) -> Prepared:
        """Extend a copy of the module."""
        del workload, size
        backpack = peer("backpack")
        module = backpack.extend(own(question))
        params = trained(module)
        extension = peer("backpack.extensions").BatchGrad()

        def run() -> dict[str, Tensor]:
            output = module(*question.args)
            last = output[0].numel() - 1

            def gradients(entry: int) -> list[Tensor]:
                retain = entry < last
                with backpack.backpack(extension, retain_graph=retain):
                    entry_sum(output, entry).backward(retain_graph=retain)
                return [taken(p, extension.savefield) for p in params.values()]

            return by_outputs(output, params, gradients)

        return Prepared(run)


@final
@dataclass(frozen=True)
class SqrtGGNExact(_BackPACK):
    """One backward pass through a square loss, for all outputs of all samples."""

    name: ClassVar[str] = "backpack.SqrtGGNExact"

    def prepare(self, workload: Workload, size: int, question: Question) -> Prepared:
        """Extend a copy of the module, and the loss."""
        del workload, size
        backpack = peer("backpack")
        module = backpack.extend(own(question))
        loss = backpack.extend(nn.MSELoss(reduction="sum"))
        params = trained(module)
        extension = peer("backpack.extensions").SqrtGGNExact()

        def run() -> dict[str, Tensor]:
            output: Tensor = module(*question.args)
            with backpack.backpack(extension):
                loss(output, torch.zeros_like(output)).backward()
            return {
                name: taken(p, extension.savefield).transpose(0, 1) / sqrt(2)
                for name, p in params.items()
            }

        return Prepared(run)
