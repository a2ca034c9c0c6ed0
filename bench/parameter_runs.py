"""Modules to differentiate by their parameters, and runs to compare there."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import jacengine
from jacengine.bench.comparison import (
    PLAN,
    Run,
    RunBuilder,
    computed,
    plan_for,
    relative_error,
)
from jacengine.bench.reference import reference
from jacengine.bench.workload import DerivativeSpec

FRACTION = 20
"""The naive loop runs on one sample of so many, and its time is scaled."""

INTO, INTO_COMPILED = "plan(x, out=out)", "plan(x, out=out), compiled"
FLAT = "plan(x, out=flat)"
FILL, ALLOCATE = "fill_", "allocate and fill_"
NAIVE, STEP = "naive loop", "forward and backward"
GRAM, GRAM_AT = "op.gram()", "op.at(x).gram()"
FORMED = "form J and multiply"


def into(spec: DerivativeSpec, **options: Any) -> Run:
    """Return the run of a plan, into a preallocated result."""
    plan = plan_for(spec, **options)
    out = plan(*spec.args)
    return Run(lambda: plan(*spec.args, out=out))


def _fill(spec: DerivativeSpec) -> Run:
    blocks = list(plan_for(spec)(*spec.args).values())
    return Run(lambda: [block.fill_(1.0) for block in blocks])


def _allocate(spec: DerivativeSpec) -> Run:
    shapes = [block.shape for block in plan_for(spec)(*spec.args).values()]
    return Run(lambda: [torch.empty(shape).fill_(1.0) for shape in shapes])


def naive_loop(spec: DerivativeSpec) -> Run:
    """Return the reference loop on a fraction of the samples."""
    (x,) = spec.args
    few = max(1, len(x) // FRACTION)
    part = replace(spec, args=(x[:few],))
    return Run(functools.partial(reference, part), len(x) / few)


def training_step(spec: DerivativeSpec) -> Run:
    """Return the gradient of the summed output, as training computes it."""
    model = cast("nn.Module", spec.fn)
    params = list(model.parameters())
    return Run(lambda: torch.autograd.grad(model(*spec.args).sum(), params))


def _gram(spec: DerivativeSpec, *, at: bool) -> Run:
    (x,) = spec.args
    op = jacengine.operator(spec.fn, x, wrt="params", batch_dim=0)
    formed = cast("Tensor", _formed(spec).call())
    assert relative_error(op.gram(), formed) < 1e-4
    return Run((lambda: op.at(x).gram()) if at else op.gram)


def _formed(spec: DerivativeSpec) -> Run:
    plan = plan_for(spec, layout="flat")
    out = plan(*spec.args)

    def formed() -> Tensor:
        J: Tensor = plan(*spec.args, out=out).flatten(0, 1)
        return J @ J.T

    return Run(formed)


WRITTEN: dict[str, RunBuilder] = {
    INTO: into,
    INTO_COMPILED: functools.partial(into, compiled=True),
    FLAT: functools.partial(into, layout="flat"),
    PLAN: computed,
    FILL: _fill,
    ALLOCATE: _allocate,
}
KERNEL: dict[str, RunBuilder] = {
    GRAM_AT: functools.partial(_gram, at=True),
    GRAM: functools.partial(_gram, at=False),
    FORMED: _formed,
}


def inputs_and_cotangents_bytes(spec: DerivativeSpec) -> int:
    """Count the bytes of the inputs of all layers, and of their output cotangents."""
    model = cast("nn.Module", spec.fn)
    total = 0

    def count(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += inputs[0].nbytes + entries * output.nbytes

    with torch.no_grad():
        entries = model(*spec.args)[0].numel()
        layers = [layer for layer in model.modules() if not list(layer.children())]
        handles = [layer.register_forward_hook(count) for layer in layers]
        try:
            model(*spec.args)
        finally:
            for handle in handles:
                handle.remove()
    return total


class TiedAutoencoder(nn.Module):
    """An autoencoder 32-16-32 that decodes with the transposed encoder weight."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(32, 16)
        self.bias = nn.Parameter(torch.zeros(32))

    def forward(self, x: Tensor) -> Tensor:
        """Encode and decode."""
        return F.linear(self.encoder(x).tanh(), self.encoder.weight.T, self.bias)


class RepeatedLayer(nn.Module):
    """A layer of 32 features that is called twice, and another with 10 outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(32, 32)
        self.last = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Call the same layer on its own output."""
        out: Tensor = self.last(self.hidden(self.hidden(x).tanh()).tanh())
        return out


class Scale(nn.Module):
    """A user-defined layer: every feature times a parameter."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        """Scale the features."""
        return x * self.scale


class ScaleWithRule(Scale):
    """The same layer with a rule that is registered with jacengine."""


def _scale(_: nn.Module, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    block = (g * x.unsqueeze(1)).sum(2)
    return block if out is None else out.copy_(block)


jacengine.register_rule(
    ScaleWithRule, jacengine.Rule({"scale": _scale}, input_axes=1, output_axes=1)
)


def scaled_network(layer: type[Scale]) -> nn.Module:
    """Return a network of 32 features and 10 outputs with such a layer."""
    return nn.Sequential(
        nn.Linear(32, 64), nn.Tanh(), layer(64), nn.Tanh(), nn.Linear(64, 10)
    )
