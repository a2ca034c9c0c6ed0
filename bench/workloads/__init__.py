"""The Jacobians that people take, as data: one family a file."""

from __future__ import annotations

from jacengine.bench.workload import Workload
from jacengine.bench.workloads.networks import NETWORKS

WORKLOADS: tuple[Workload, ...] = (*NETWORKS,)
"""Every workload, in the order in which tables show them."""
