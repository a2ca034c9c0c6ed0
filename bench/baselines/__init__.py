"""Other libraries' ways to derivatives, to compare with; never candidates of `auto`."""

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
from jacengine.bench.baselines.functional_hessian import (
    FunctionalHessian,
    FunctionalHessianVectorized,
)
from jacengine.bench.baselines.grad_twice import GradTwice
from jacengine.bench.baselines.hessian_products import VmapHvp
from jacengine.bench.baselines.hessians import (
    Hessian,
    JacrevTwice,
    VmapHessian,
    VmapJacfwdTwice,
    VmapJacrevTwice,
)
from jacengine.bench.baselines.jax_hessian import Folx, FolxSparse, JaxHessian
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
    GradTwice(),
    FunctionalHessian(),
    FunctionalHessianVectorized(),
    Hessian(),
    JacrevTwice(),
    VmapHessian(),
    VmapJacrevTwice(),
    VmapJacfwdTwice(),
    VmapHvp(),
    JaxHessian(),
    Folx(),
    FolxSparse(),
)
"""In the order in which tables show them."""
