"""How parameter Jacobians are compared: set-ups that targets are held in."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

import jacengine
from jacengine.bench.baselines import Baseline
from jacengine.bench.reference import reference
from jacengine.bench.targets.contest import (
    LIBRARIES,
    Claim,
    Contest,
    Entrant,
    distance,
    enter,
)
from jacengine.bench.targets.target import COMPILED, PLAN, named
from jacengine.bench.workload import Question, Workload
from jacengine.peak_memory import peak_memory

PART = 20
"""A naive loop runs on one sample of so many, and its time is scaled."""
NAIVE = "naive loop"
INTO = "plan(x, out=out)"
INTO_COMPILED = "plan(x, out=out), compiled"
FLAT = "plan(x, out=flat)"
FILL = "fill_"
FRESH = "allocate and fill_"
STEP = "forward and backward"
FORMED = "form J and multiply"


PER_SAMPLE = named(
    "vmap(jacrev)",
    "backpack.BatchGrad",
    "backpack.SqrtGGNExact",
    "opacus.GradSampleModule",
    "ExpandedWeights",
)
"""Libraries of per-sample gradients."""


def _plan(
    question: Question, layout: Any = "dict", *, compiled: bool = False
) -> jacengine.Plan:
    return jacengine.plan(
        question.fn,
        *question.args,
        wrt="params",
        batch_dim=0,
        layout=layout,
        compiled=compiled,
    )


def written(workload: Workload, fill: float, faster: float | None, n: int) -> Contest:
    """Write J where it belongs, against filling the same memory."""
    question = workload.build(n)
    (x,) = question.args
    plan, flat_plan = _plan(question), _plan(question, "flat")
    compiled = _plan(question, compiled=True)
    out, flat = plan(x), flat_plan(x)
    blocks = list(out.values())
    shapes = [block.shape for block in blocks]
    entrants, left_out = enter(PER_SAMPLE, workload, n, question, plan(x))
    libraries = tuple(entrants)
    entrants |= {
        INTO: Entrant(lambda: plan(x, out=out)),
        INTO_COMPILED: Entrant(lambda: compiled(x, out=out)),
        FLAT: Entrant(lambda: flat_plan(x, out=flat)),
        PLAN: Entrant(lambda: plan(x)),
        FILL: Entrant(lambda: [block.fill_(1.0) for block in blocks]),
        FRESH: Entrant(lambda: [torch.empty(s).fill_(1.0) for s in shapes]),
    }
    claims = [
        Claim(INTO, FILL, fill),
        Claim(INTO_COMPILED, FILL, fill),
        Claim(FLAT, FILL, fill),
        Claim(PLAN, FRESH, 1.2),
    ]
    if faster is not None:
        claims.append(Claim(LIBRARIES, INTO, faster, at_least=True))
    return Contest(entrants, tuple(claims), {LIBRARIES: libraries}, left_out)


def fastest(
    workload: Workload, rivals: Sequence[Baseline], claims: Sequence[Claim], n: int
) -> Contest:
    """Compute J, against libraries, a naive loop and a step of training."""
    question = workload.build(n)
    (x,) = question.args
    plan = _plan(question)
    entrants, left_out = enter(rivals, workload, n, question, plan(x))
    libraries = tuple(entrants)
    entrants[PLAN] = Entrant(lambda: plan(x))
    compiled = _plan(question, compiled=True)
    entrants[COMPILED] = Entrant(lambda: compiled(x))
    claimed = {name for claim in claims for name in (claim.over, claim.under)}
    if NAIVE in claimed:
        few = max(1, n // PART)
        part = replace(question, args=(x[:few],))
        entrants[NAIVE] = Entrant(lambda: reference(part), times=n / few)
    if STEP in claimed:
        entrants[STEP] = Entrant(functools.partial(_step, question))
    return Contest(entrants, tuple(claims), {LIBRARIES: libraries}, left_out)


def _step(question: Question) -> tuple[Tensor, ...]:
    """Take the gradient of the summed output: what training does to each batch."""
    model = cast("nn.Module", question.fn)
    total: Tensor = model(*question.args).sum()
    return torch.autograd.grad(total, list(model.parameters()))


def kernel(workload: Workload, n: int) -> Contest:
    """Compute the tangent kernel without J, against forming J.

    Raises:
        RuntimeError: The two are not the same.
    """
    question = workload.build(n)
    (x,) = question.args
    op = jacengine.operator(question.fn, x, wrt="params", batch_dim=0)
    plan = _plan(question, "flat")
    out = plan(x)

    def formed() -> Tensor:
        J: Tensor = plan(x, out=out).flatten(0, 1)
        return J @ J.T

    error = distance(op.gram(), formed())
    if not error < 1e-4:
        raise RuntimeError(f"gram() is off by {error:.2g}")
    whole, alone = "op.at(x).gram()", "op.gram()"
    return Contest(
        {
            whole: Entrant(lambda: op.at(x).gram()),
            alone: Entrant(op.gram),
            FORMED: Entrant(formed),
        },
        (
            Claim(FORMED, whole, 30, at_least=True),
            Claim(FORMED, alone, 30, at_least=True),
        ),
    )


def memory(workload: Workload, n: int) -> Contest:
    """Measure the peak beyond `out`, against inputs and cotangents of all layers."""
    question = workload.build(n)
    (x,) = question.args
    plan = _plan(question)
    out = plan(x)
    with peak_memory(x.device) as peak:
        plan(x, out=out)
    beyond, floor = "peak beyond out", "inputs and cotangents"
    amounts = {beyond: float(peak.bytes), floor: float(_kept(question))}
    return Contest({}, (Claim(beyond, floor, 1.0),), amounts=amounts)


def _kept(question: Question) -> int:
    """Count the bytes of all layers' inputs, and of their outputs' cotangents."""
    model = cast("nn.Module", question.fn)
    total = 0

    def count(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += inputs[0].nbytes + entries * output.nbytes

    with torch.no_grad():
        entries = model(*question.args)[0].numel()
        layers = [layer for layer in model.modules() if not list(layer.children())]
        handles = [layer.register_forward_hook(count) for layer in layers]
        try:
            model(*question.args)
        finally:
            for handle in handles:
                handle.remove()
    return total
