"""Workloads as data, related ones in one file."""

from __future__ import annotations

from dataclasses import replace

from jacengine.bench.workload import Workload, seeded
from jacengine.bench.workloads.dynamics import DYNAMICS
from jacengine.bench.workloads.mixtures import MIXTURES
from jacengine.bench.workloads.networks import NETWORKS, SEQUENCES
from jacengine.bench.workloads.parameters import LOSSES, PARAMETERS
from jacengine.bench.workloads.physics import PHYSICS
from jacengine.bench.workloads.robots import ROBOTS, VISION
from jacengine.bench.workloads.second_order import MOLECULES, SECOND_ORDER
from jacengine.bench.workloads.wave_functions import WAVE_FUNCTIONS

__all__ = ["WORKLOADS"]

WORKLOADS: tuple[Workload, ...] = tuple(
    replace(workload, build=seeded(workload.build))
    for workload in (
        *NETWORKS,
        *PARAMETERS,
        *SEQUENCES,
        *DYNAMICS,
        *PHYSICS,
        *ROBOTS,
        *VISION,
        *MIXTURES,
        *SECOND_ORDER,
        *WAVE_FUNCTIONS,
        *MOLECULES,
        *LOSSES,
    )
)
"""Every workload, in the order in which tables show them."""
