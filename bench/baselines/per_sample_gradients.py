"""Parameter Jacobians from libraries of per-sample gradients.

They compute the gradient of one number for each sample. The loop over the outputs, with
the results written into one tensor for each parameter, is that of the BackPACK example:
https://docs.backpack.pt/en/master/use_cases/example_batched_jacobians.html

- BackPACK: F. Dangel, F. Kunstner, P. Hennig, Packing more into backprop, 2020.
- Opacus: A. Yousefpour et al., User-friendly differential privacy library, 2021. Its
  hooks consume what the forward pass stored: there is a forward pass for each output.
- ExpandedWeights: a prototype of PyTorch, see pytorch/pytorch#70151.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import Any, cast

import torch
from torch import Tensor, nn

from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.baselines.pure_function import trainable
from jacengine.bench.optional_libraries import load
from jacengine.bench.workload import DerivativeSpec, Workload
from jacengine.errors import UnsupportedError

_EXAMPLE = "BackPACK's example of batched Jacobians"
_OPACUS, _PROTOTYPE = "Opacus documentation", "torch.nn.utils._per_sample_grad"


@dataclass(frozen=True)
class _Library:
    """A module that a library has prepared.

    Attributes:
        forward: The module; its backward pass fills an attribute of each parameter.
        attribute: The name of that attribute, `(B, *param)`.
        context: Returns the context of a backward pass, given `retain_graph`.
        forward_again: Whether each backward pass needs a forward pass of its own.
    """

    forward: Callable[..., Tensor]
    attribute: str
    context: Callable[[bool], AbstractContextManager[Any]] = nullcontext
    forward_again: bool = False


def _backpack(module: nn.Module) -> _Library:
    backpack = load("backpack")
    extension = load("backpack.extensions").BatchGrad()

    def context(retain_graph: bool) -> AbstractContextManager[Any]:
        return cast(
            "AbstractContextManager[Any]",
            backpack.backpack(extension, retain_graph=retain_graph),
        )

    return _Library(backpack.extend(module), extension.savefield, context)


def _opacus(module: nn.Module) -> _Library:
    wrapped = load("opacus").GradSampleModule(module, loss_reduction="sum")
    return _Library(wrapped, "grad_sample", forward_again=True)


def _expanded_weights(module: nn.Module) -> _Library:
    per_sample = load("torch.nn.utils._per_sample_grad").call_for_per_sample_grads
    return _Library(per_sample(module), "grad_sample")


def _by_output(
    prepare: Callable[[nn.Module], _Library], _: Workload, spec: DerivativeSpec
) -> Prepared:
    """Take one backward pass for each output of a sample."""
    module = copy.deepcopy(cast("nn.Module", spec.fn))
    library = prepare(module)
    params = trainable(module)

    def run() -> dict[str, Tensor]:
        output = library.forward(*spec.args)
        samples, out = output.shape[0], output.shape[1:]
        entries = out.numel()
        blocks: list[Tensor] = []
        for entry in range(entries):
            if entry and library.forward_again:
                output = library.forward(*spec.args)
            retain_graph = entry < entries - 1 and not library.forward_again
            total = output.reshape(samples, -1)[:, entry].sum()
            with library.context(retain_graph):
                total.backward(retain_graph=retain_graph)
            gradients = [_pop_gradient(p, library.attribute) for p in params.values()]
            if entries == 1:
                blocks = gradients
                break
            blocks = blocks or [
                g.new_empty(samples, entries, *g.shape[1:]) for g in gradients
            ]
            for block, gradient in zip(blocks, gradients, strict=True):
                block[:, entry] = gradient
        named = zip(params.items(), blocks, strict=True)
        return {n: block.reshape(samples, *out, *p.shape) for (n, p), block in named}

    return Prepared(run)


def _square_root(_: Workload, spec: DerivativeSpec) -> Prepared:
    """Take one backward pass through a square loss, for all outputs of all samples.

    The square root of the Gauss-Newton matrix of a square loss is the Jacobian times
    the square root of two.
    """
    backpack = load("backpack")
    module = backpack.extend(copy.deepcopy(cast("nn.Module", spec.fn)))
    loss = backpack.extend(nn.MSELoss(reduction="sum"))
    params = trainable(module)
    extension = load("backpack.extensions").SqrtGGNExact()

    def run() -> dict[str, Tensor]:
        output: Tensor = module(*spec.args)
        with backpack.backpack(extension):
            loss(output, torch.zeros_like(output)).backward()
        return {
            name: _pop_gradient(p, extension.savefield).transpose(0, 1) / sqrt(2)
            for name, p in params.items()
        }

    return Prepared(run)


def _reason_no_samples(_: Workload, spec: DerivativeSpec) -> str | None:
    if spec.wrt != "params":
        return "derivatives by inputs: it computes those by parameters"
    if spec.batch_dim is None:
        return "one point: there are no samples"
    return None


def _pop_gradient(parameter: Any, attribute: str) -> Tensor:
    """Remove and return what a library stored, so that nothing is added to it."""
    found = getattr(parameter, attribute, None)
    if found is None:
        raise UnsupportedError(
            "it leaves a parameter without per-sample gradients: it does not support "
            "the layer, or how it is called."
        )
    setattr(parameter, attribute, None)
    parameter.grad = None
    gradient: Tensor = found.detach()
    return gradient


PER_SAMPLE_GRADIENTS: tuple[Baseline, ...] = tuple(
    Baseline(
        name,
        source,
        prepare,
        libraries=libraries,
        reason_inapplicable=_reason_no_samples,
    )
    for name, source, prepare, libraries in (
        ("backpack.BatchGrad", _EXAMPLE, partial(_by_output, _backpack), ("backpack",)),
        ("backpack.SqrtGGNExact", _EXAMPLE, _square_root, ("backpack",)),
        ("opacus.GradSampleModule", _OPACUS, partial(_by_output, _opacus), ("opacus",)),
        ("ExpandedWeights", _PROTOTYPE, partial(_by_output, _expanded_weights), ()),
    )
)
"""In the order in which tables show them."""
