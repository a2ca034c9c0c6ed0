"""The options of each function, for its overloads: what they have in common, once.

Three groups a function, each with those before it: options that leave the nesting of a
result as it is; then those that choose its entries too; then all but `wrt`. An overload
names the options that it tells results apart by, and takes the others from the group
that has none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from jacengine.interface import Strategy
from jacengine.plans.blockwise import Axis
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.problem import (
    ComplexOption,
    Entries,
    LayoutOption,
    Randomness,
    Triangle,
)
from jacengine.problem.quantity import Quantity
from jacengine.selection.budget import Budget
from jacengine.selection.effort import Compiled, Effort

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

    from jacengine.distributed.choose_axis import Shard
    from jacengine.distributed.spread import Executor


class _Call(TypedDict, total=False):
    kwargs: Mapping[str, Any] | None
    batch_dim: BatchDim
    create_graph: bool
    randomness: Randomness


class _Compilation(TypedDict, total=False):
    compiled: Compiled
    calls: int | None


class _Effort(TypedDict, total=False):
    memory_budget: Budget
    effort: Effort


class _Choice(_Effort, _Compilation):
    pass


class _Candidates(TypedDict, total=False):
    strategies: Iterable[str] | None
    exclude: Iterable[str]


class _Sparsity(TypedDict, total=False):
    sparsity: Any
    verify: bool


class _Preallocated(TypedDict, total=False):
    out: Any


class _Complex(TypedDict, total=False):
    complex: ComplexOption


class _Rows(TypedDict, total=False):
    rows: Entries


class _Columns(TypedDict, total=False):
    columns: Entries


class _Aux(TypedDict, total=False):
    has_aux: bool


class _Layout(_Aux, total=False):
    layout: LayoutOption


class _Mesh(TypedDict, total=False):
    mesh: DeviceMesh | None
    shard: Shard
    gather: bool
    timeout_s: float


class ValueOptions(_Call, _Choice, _Candidates, _Sparsity, _Preallocated, _Rows):
    """Of `value_and_jacobian`."""


class ValueEntries(ValueOptions, _Columns):
    """Those, and what chooses entries."""


class AllValueOptions(ValueEntries, _Layout):
    """All of `value_and_jacobian` but `wrt`."""


class AutoOptions(ValueOptions, _Complex):
    """Of `auto`."""


class AutoEntries(AutoOptions, _Columns):
    """Those, and what chooses entries."""


class AllAutoOptions(AutoEntries, _Layout, _Mesh):
    """All of `auto` but `wrt`."""


class JacobianOptions(
    _Call, _Compilation, _Sparsity, _Preallocated, _Rows, _Complex, total=False
):
    """Of `jacobian`."""

    strategy: str | Strategy
    chunk_size: int | None


class JacobianEntries(JacobianOptions, _Columns):
    """Those, and what chooses entries."""


class AllJacobianOptions(JacobianEntries, _Layout):
    """All of `jacobian` but `wrt`."""


class PlanOptions(_Call, _Choice, _Candidates, _Sparsity, _Rows, _Complex):
    """Of `plan`, for Jacobians."""


class PlanEntries(PlanOptions, _Columns):
    """Those, and what chooses entries."""


class AllPlanOptions(PlanEntries, _Layout, _Mesh, total=False):
    """All of `plan` but `wrt`."""

    with_value: bool
    triangle: Triangle
    quantity: Quantity


class BlocksOptions(_Call, _Effort, _Candidates, _Complex, total=False):
    """Of `blocks`, for Jacobians."""

    by: Axis | None
    min_pieces: int | None


class AllBlocksOptions(BlocksOptions, total=False):
    """All of `blocks` but `wrt`."""

    layout: LayoutOption
    quantity: Quantity
    executor: Executor | None
    folder: str | Path | None


class HessianOptions(
    _Call, _Choice, _Candidates, _Sparsity, _Preallocated, _Complex, total=False
):
    """Of `hessian`."""

    triangle: Triangle


class HessianEntries(HessianOptions, _Rows, _Columns):
    """Those, and what chooses entries."""


class AllHessianOptions(HessianEntries, _Layout, _Mesh):
    """All of `hessian` but `wrt`."""


class HessianDiagonalOptions(_Call, _Choice, _Candidates, _Preallocated):
    """Of `hessian_diagonal`."""


class HessianDiagonalEntries(HessianDiagonalOptions, _Columns):
    """Those, and what chooses entries."""


class AllHessianDiagonalOptions(HessianDiagonalEntries, _Layout):
    """All of `hessian_diagonal` but `wrt`."""


class LaplacianOptions(HessianDiagonalEntries, total=False):
    """Of `laplacian`, which sums over entries."""

    probes: int
    seed: int


class AllLaplacianOptions(LaplacianOptions, _Aux, total=False):
    """All of `laplacian` but `wrt`."""

    method: Literal["exact", "hutchinson"]


class HvpOptions(_Call, _Candidates):
    """All of `hvp` but `vector` and `wrt`."""


class DiagonalOptions(_Call, _Choice, _Preallocated):
    """Of `diagonal`."""


class DiagonalEntries(DiagonalOptions, _Columns):
    """Those of `diagonal` and `divergence`, and what chooses entries."""


class AllDiagonalOptions(DiagonalEntries, _Aux):
    """All of `diagonal` and `divergence` but `wrt`."""
