"""Runs of parameter Jacobians, and of what they are compared with."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

import jacengine
from jacengine.bench.comparison import PLAN, Run, RunBuilder, computed, plan_for
from jacengine.bench.comparison_benchmarks import relative_error
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

    def gram_at() -> Any:
        return op.at(x).gram()

    return Run(gram_at if at else op.gram)


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
