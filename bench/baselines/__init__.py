"""Other libraries' ways to a Jacobian, to compare with; never candidates of `auto`."""

from __future__ import annotations

from jacengine.bench.baselines.backpack import BatchGrad, SqrtGGNExact
from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.baselines.double_loop import DoubleLoop
from jacengine.bench.baselines.expanded_weights import ExpandedWeights
from jacengine.bench.baselines.functional import (
    FunctionalForward,
    FunctionalLoop,
    FunctionalVectorized,
)
from jacengine.bench.baselines.jax_jit import JaxJacfwd, JaxJacrev
from jacengine.bench.baselines.opacus import Opacus
from jacengine.bench.baselines.transforms import (
    Jacfwd,
    Jacrev,
    VmapJacfwd,
    VmapJacrev,
)

__all__ = ["BASELINES", "Baseline", "Prepared"]

BASELINES: tuple[Baseline, ...] = (
    DoubleLoop(),
    FunctionalLoop(),
    FunctionalVectorized(),
    FunctionalForward(),
    Jacrev(),
    Jacfwd(),
    VmapJacrev(),
    VmapJacfwd(),
    BatchGrad(),
    SqrtGGNExact(),
    Opacus(),
    ExpandedWeights(),
    JaxJacrev(),
    JaxJacfwd(),
)
"""In the order in which tables show them."""
