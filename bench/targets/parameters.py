"""What parameter Jacobians are held to, work by work."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
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
from jacengine.bench.targets.layered import (
    Recurrent,
    Scaled,
    ScaledByRule,
    Tied,
    Twice,
    scaled_network,
)
from jacengine.bench.targets.target import COMPILED, PLAN, Family, Target, named
from jacengine.bench.workload import Question, Workload, seeded
from jacengine.bench.workloads.parameters import PARAMETERS as WORKLOADS
from jacengine.bench.workloads.perceptrons import mlp, mlp_twin
from jacengine.measure import peak_memory

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
WITH_JAX = (*PER_SAMPLE, *named("jax.jit(jacrev)"))
"""Where the network is written in JAX, too."""
ANY = (*PER_SAMPLE, *named("functional.jacobian", "torch.func.jacrev"))
"""With those that see samples as outputs like others, and need nothing of layers."""


def _workload(
    build: Callable[[int], Question], twin: Callable[[Question], Any] | None = None
) -> Workload:
    return Workload(
        "target", "", "", "samples", (2, 3, 4), 2, seeded(build), None, twin
    )


def _network(make: Callable[[], nn.Module], *shape: int) -> Workload:
    """Return a network by its parameters, on random samples of a shape."""

    def build(samples: int) -> Question:
        return Question(make(), (torch.randn(samples, *shape),), wrt="params")

    return _workload(build)


def _perceptron(*sizes: int) -> Workload:
    return replace(_network(functools.partial(mlp, *sizes), sizes[0]), twin=mlp_twin)


def _named(name: str) -> Workload:
    return next(workload for workload in WORKLOADS if workload.name == name)


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


def _written(workload: Workload, fill: float, faster: float | None, n: int) -> Contest:
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


def _fastest(
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


def _kernel(workload: Workload, n: int) -> Contest:
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


def _memory(workload: Workload, n: int) -> Contest:
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


def _convnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 10),
    )


def _encoder() -> nn.Module:
    return nn.TransformerEncoderLayer(
        32, nhead=4, dim_feedforward=64, dropout=0.0, batch_first=True
    )


NOT_SLOWER = Claim(LIBRARIES, PLAN, 1.0, at_least=True)
FIRST = Claim(LIBRARIES, COMPILED, 1.0, at_least=True)


def _not_slower(rivals: Sequence[Baseline], workload: Workload) -> Any:
    return functools.partial(_fastest, workload, rivals, [NOT_SLOWER, FIRST])


_WIDE, _NARROW = _perceptron(64, 64, 64, 10), _perceptron(64, 128, 128, 1)
_CONVNET = _network(_convnet, 3, 16, 16)

_TARGETS: tuple[Target, ...] = (
    Target(
        "mlp_ten_outputs",
        "MLP 64-64-64-10, written",
        500,
        functools.partial(_written, _WIDE, 1.3, 2.5),
    ),
    Target(
        "mlp_one_output",
        "MLP 64-128-128-1, written",
        1000,
        functools.partial(_written, _NARROW, 1.5, None),
    ),
    Target(
        "quasi_linear_conv3d",
        "Conv3d 1-2-1 with ReLU on 6x6x6",
        1000,
        functools.partial(
            _fastest,
            _named("quasi_linear_conv3d"),
            PER_SAMPLE,
            [
                Claim(NAIVE, PLAN, 700, at_least=True),
                Claim("vmap(jacrev)", PLAN, 1.0, at_least=True),
            ],
        ),
    ),
    Target(
        "scalar_convnet",
        "Conv2d 1-8-8 on 10x10, summed",
        1000,
        functools.partial(
            _fastest,
            _named("monte_carlo"),
            WITH_JAX,
            [
                Claim(NAIVE, PLAN, 100, at_least=True),
                Claim(PLAN, STEP, 1.0),
                NOT_SLOWER,
                FIRST,
            ],
        ),
    ),
    Target(
        "convnet",
        "Conv2d 3-16-32 with pooling on 16x16, 10 classes",
        128,
        functools.partial(
            _fastest,
            _CONVNET,
            PER_SAMPLE,
            [Claim(LIBRARIES, PLAN, 1.5, at_least=True), FIRST],
        ),
    ),
    Target(
        "transformer",
        "transformer encoder layer, width 32, 4 tokens",
        8,
        _not_slower(ANY, _network(_encoder, 4, 32)),
    ),
    Target(
        "lstm",
        "LSTM 6-24, 8 steps, 4 outputs",
        32,
        _not_slower(ANY, _network(Recurrent, 8, 6)),
    ),
    Target(
        "tied_weights",
        "autoencoder 32-16-32 with one weight",
        64,
        _not_slower(ANY, _network(Tied, 32)),
    ),
    Target(
        "called_twice",
        "a layer called twice, 32-32-32-10",
        128,
        _not_slower(ANY, _network(Twice, 32)),
    ),
    Target(
        "own_layer",
        "a user's layer without a rule, 32-64-64-10",
        128,
        _not_slower(ANY, _network(lambda: scaled_network(Scaled), 32)),
    ),
    Target(
        "own_layer_with_rule",
        "the same layer with a rule",
        128,
        _not_slower(ANY, _network(lambda: scaled_network(ScaledByRule), 32)),
    ),
    Target(
        "tangent_kernel",
        "tangent kernel of MLP 64-128-128-10",
        32,
        functools.partial(_kernel, _perceptron(64, 128, 128, 10)),
    ),
    Target(
        "memory_mlp_ten_outputs",
        "MLP 64-64-64-10, into out=",
        500,
        functools.partial(_memory, _WIDE),
    ),
    Target(
        "memory_mlp_one_output",
        "MLP 64-128-128-1, into out=",
        1000,
        functools.partial(_memory, _NARROW),
    ),
    Target(
        "memory_convnet",
        "Conv2d 3-16-32 with pooling, into out=",
        128,
        functools.partial(_memory, _CONVNET),
    ),
)

FAMILY = Family(
    "parameters",
    "Parameter Jacobians",
    _TARGETS,
    f"The {NAIVE} is torch.autograd.grad for every output entry of every sample; it is "
    f"timed on one sample of {PART}, and its time is scaled. A library counts if its "
    "result agrees with jacengine's, which is verified against plain reverse mode.",
    ("backpack-for-pytorch", "jax", "opacus"),
)
"""Networks' Jacobians by their parameters."""
