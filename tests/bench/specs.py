"""Specs in float64 for tests of the benchmark."""

from dataclasses import replace

import torch

from jacengine.bench.workload import DerivativeSpec, Workload
from jacengine.problem.quantity import SECOND_ORDER

SAMPLES = 4
"""Of second derivatives, whose reference loops nest one deeper."""


def exact(workload: Workload) -> DerivativeSpec:
    """Build the tiny size in float64."""
    spec = workload.build(workload.tiny).to(dtype=torch.float64)
    if spec.quantity not in SECOND_ORDER or spec.batch_dim is None:
        return spec
    return replace(spec, args=tuple(arg[:SAMPLES] for arg in spec.args))
