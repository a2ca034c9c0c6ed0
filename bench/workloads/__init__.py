"""Workloads as data, one family in each file."""

from __future__ import annotations

from jacengine.bench.workload import Workload
from jacengine.bench.workloads.dynamics import DYNAMICS
from jacengine.bench.workloads.losses import LOSSES
from jacengine.bench.workloads.mixtures import MIXTURES
from jacengine.bench.workloads.molecules import MOLECULES
from jacengine.bench.workloads.networks import NETWORKS
from jacengine.bench.workloads.parameters import PARAMETERS
from jacengine.bench.workloads.physics import PHYSICS
from jacengine.bench.workloads.robots import ROBOTS
from jacengine.bench.workloads.second_order import SECOND_ORDER
from jacengine.bench.workloads.sequences import SEQUENCES
from jacengine.bench.workloads.vision import VISION
from jacengine.bench.workloads.wave_functions import WAVE_FUNCTIONS

__all__ = ["WORKLOADS"]

WORKLOADS: tuple[Workload, ...] = (
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
"""Every workload, in the order in which tables show them."""
