"""A batched parameter Jacobian from libraries of per-sample gradients.

They give each sample's gradient of one number. The loop over the outputs of a sample,
with the results written into one tensor a parameter, is that of BackPACK's example of
batched Jacobians.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, cast

from torch import Tensor, nn

from jacengine.bench.baselines.attempt import attempt
from jacengine.bench.baselines.baseline import Baseline
from jacengine.bench.workload import Question, Workload
from jacengine.errors import UnsupportedError
from jacengine.interface import Unsupported


class ByOutputs(Baseline):
    """A library of per-sample gradients."""

    def declines(
        self, workload: Workload, size: int, question: Question
    ) -> Unsupported | None:
        """Try it at the tiny size, by parameters."""
        del size
        return declined(question) or attempt(self, workload, question)


def declined(question: Question) -> Unsupported | None:
    """Say why per-sample gradients are not what is asked for."""
    if question.wrt != "params":
        return Unsupported("derivatives by inputs: it knows those by parameters")
    if question.batch_dim is None:
        return Unsupported("one point: there are no samples")
    return None


def own(question: Question) -> nn.Module:
    """Return a copy of the module, which a library may put its attributes on."""
    return copy.deepcopy(cast("nn.Module", question.fn))


def trained(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that require a gradient, by name."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def by_outputs(
    output: Tensor,
    params: dict[str, nn.Parameter],
    gradients: Callable[[int], Sequence[Tensor]],
) -> dict[str, Tensor]:
    """Assemble J from each sample's gradients, one output entry at a time.

    Args:
        output: What the module returned, `(B, *out)`.
        params: What to differentiate.
        gradients: Maps an index into the flattened outputs of a sample to each sample's
            gradients, `(B, *param)` for each parameter.

    Returns:
        J, `(B, *out, *param)` by name.
    """
    samples, out = output.shape[0], output.shape[1:]
    entries = out.numel()
    if entries == 1:
        only = zip(params.items(), gradients(0), strict=True)
        return {n: grad.reshape(samples, *out, *p.shape) for (n, p), grad in only}
    J = {n: p.new_empty(samples, entries, *p.shape) for n, p in params.items()}
    for entry in range(entries):
        for block, gradient in zip(J.values(), gradients(entry), strict=True):
            block[:, entry] = gradient
    return {n: J[n].reshape(samples, *out, *p.shape) for n, p in params.items()}


def entry_sum(output: Tensor, entry: int) -> Tensor:
    """Sum one output entry over the samples: what to pull back."""
    return output.reshape(output.shape[0], -1)[:, entry].sum()


def taken(parameter: Any, field: str) -> Tensor:
    """Take what a library left on a parameter, so that nothing is added to it.

    Args:
        parameter: A parameter of the copy that the library works on.
        field: The attribute that it fills.

    Returns:
        Each sample's gradient, without a graph.

    Raises:
        UnsupportedError: It left nothing.
    """
    found = getattr(parameter, field, None)
    if found is None:
        raise UnsupportedError(
            "it leaves a parameter without per-sample gradients: it does not know the "
            "layer, or how it is called."
        )
    setattr(parameter, field, None)
    parameter.grad = None
    gradient: Tensor = found.detach()
    return gradient
