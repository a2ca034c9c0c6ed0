"""The questions that the tests of the benchmark ask."""

from dataclasses import replace

import torch

from jacengine.bench.workload import DerivativeSpec, Workload
from jacengine.problem.quantity import SECOND_ORDER

FEW = 4
"""Samples that a second derivative is tried on: loops over them nest one deeper."""


def exact(workload: Workload) -> DerivativeSpec:
    """Build the tiny size in float64."""
    spec = workload.build(workload.tiny).to(dtype=torch.float64)
    if spec.quantity not in SECOND_ORDER or spec.batch_dim is None:
        return spec
    return replace(spec, args=tuple(arg[:FEW] for arg in spec.args))
