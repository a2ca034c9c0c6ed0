"""What parameter Jacobians are held to, work by work."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from jacengine.bench.baselines import Baseline
from jacengine.bench.targets.contest import LIBRARIES, Claim
from jacengine.bench.targets.layered import (
    Recurrent,
    Scaled,
    ScaledByRule,
    Tied,
    Twice,
    scaled_network,
)
from jacengine.bench.targets.parameter_contests import (
    NAIVE,
    PART,
    PER_SAMPLE,
    STEP,
    fastest,
    kernel,
    memory,
    written,
)
from jacengine.bench.targets.target import COMPILED, PLAN, Family, Target, named
from jacengine.bench.workload import Question, Workload, seeded
from jacengine.bench.workloads.parameters import PARAMETERS as WORKLOADS
from jacengine.bench.workloads.perceptrons import mlp, mlp_twin

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
    return functools.partial(fastest, workload, rivals, [NOT_SLOWER, FIRST])


_WIDE, _NARROW = _perceptron(64, 64, 64, 10), _perceptron(64, 128, 128, 1)
_CONVNET = _network(_convnet, 3, 16, 16)

_TARGETS: tuple[Target, ...] = (
    Target(
        "mlp_ten_outputs",
        "MLP 64-64-64-10, written",
        500,
        functools.partial(written, _WIDE, 1.3, 2.5),
    ),
    Target(
        "mlp_one_output",
        "MLP 64-128-128-1, written",
        1000,
        functools.partial(written, _NARROW, 1.5, None),
    ),
    Target(
        "quasi_linear_conv3d",
        "Conv3d 1-2-1 with ReLU on 6x6x6",
        1000,
        functools.partial(
            fastest,
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
            fastest,
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
            fastest,
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
        functools.partial(kernel, _perceptron(64, 128, 128, 10)),
    ),
    Target(
        "memory_mlp_ten_outputs",
        "MLP 64-64-64-10, into out=",
        500,
        functools.partial(memory, _WIDE),
    ),
    Target(
        "memory_mlp_one_output",
        "MLP 64-128-128-1, into out=",
        1000,
        functools.partial(memory, _NARROW),
    ),
    Target(
        "memory_convnet",
        "Conv2d 3-16-32 with pooling, into out=",
        128,
        functools.partial(memory, _CONVNET),
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
