"""`blocks`: a Jacobian or Hessian that exceeds the memory, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack, overload

from torch import Tensor

from jacengine.api.strategies import plan_request
from jacengine.errors import ArgumentError
from jacengine.plans.blockwise import Axis, BlockwiseJacobian, Piece, Pieces
from jacengine.plans.complex_result import complex_result, require_holomorphic
from jacengine.plans.planning import cached_plan
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.call_spec import Wrt
from jacengine.problem.problem import ComplexOption, LayoutOption, Options, Randomness
from jacengine.problem.quantity import Quantity
from jacengine.selection.budget import Budget
from jacengine.selection.effort import Effort

if TYPE_CHECKING:
    from jacengine.api.function_types import (
        ByName,
        Flat,
        Function,
        Leaf,
        SparseLayout,
        TensorFunction,
        TensorModule,
        Undetermined,
        UntypedFunction,
        UntypedModule,
    )
    from jacengine.api.option_types import (
        AllBlocksOptions,
        BlocksOptions,
    )


@overload
def blocks(
    fn: Function, *args: Any, wrt: Undetermined, **options: Unpack[AllBlocksOptions]
) -> Pieces: ...


@overload
def blocks(
    fn: Function,
    *args: Any,
    layout: SparseLayout,
    wrt: Wrt = 0,
    **options: Unpack[BlocksOptions],
) -> Pieces[Tensor]: ...


@overload
def blocks(
    fn: UntypedModule, *args: Any, wrt: Wrt = 0, **options: Unpack[AllBlocksOptions]
) -> Pieces: ...


@overload
def blocks(
    fn: TensorModule, *args: Any, wrt: ByName, **options: Unpack[BlocksOptions]
) -> Pieces[dict[str, Tensor]]: ...


@overload
def blocks(
    fn: TensorModule, *args: Leaf, wrt: int = 0, **options: Unpack[BlocksOptions]
) -> Pieces[Tensor]: ...


@overload
def blocks(
    fn: TensorModule,
    *args: Any,
    layout: Flat,
    wrt: Wrt = 0,
    **options: Unpack[BlocksOptions],
) -> Pieces[Tensor]: ...


@overload
def blocks(
    fn: UntypedFunction, *args: Any, wrt: Wrt = 0, **options: Unpack[AllBlocksOptions]
) -> Pieces: ...


@overload
def blocks(
    fn: TensorFunction, *args: Leaf, wrt: int = 0, **options: Unpack[BlocksOptions]
) -> Pieces[Tensor]: ...


@overload
def blocks(
    fn: TensorFunction,
    *args: Leaf,
    wrt: tuple[int, ...],
    **options: Unpack[BlocksOptions],
) -> Pieces[tuple[Tensor, ...]]: ...


@overload
def blocks(
    fn: TensorFunction,
    *args: Any,
    layout: Flat,
    wrt: Wrt = 0,
    **options: Unpack[BlocksOptions],
) -> Pieces[Tensor]: ...


@overload
def blocks(
    fn: Function, *args: Any, wrt: Wrt = 0, **options: Unpack[AllBlocksOptions]
) -> Pieces: ...


def blocks(
    fn: Callable[..., Any],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    wrt: Wrt = 0,
    batch_dim: BatchDim = None,
    by: Axis | None = None,
    memory_budget: Budget = None,
    create_graph: bool = False,
    effort: Effort = "quick",
    strategies: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    randomness: Randomness = "error",
    layout: LayoutOption = "dict",
    quantity: Quantity = "jacobian",
    complex: ComplexOption = None,
) -> Pieces:
    """Iterate over the pieces of a Jacobian, or Hessian, that exceeds the memory.

    Pieces are as large as the budget lets them be while the consumer holds one and the
    next is computed. Together they are the Jacobian, in order and without overlap.

    Args:
        fn: A function or `nn.Module`.
        args: Its positional arguments, pytrees of tensors.
        kwargs: Its keyword arguments.
        wrt: As in `auto`.
        batch_dim: As in `auto`.
        by: Along what to cut: `"samples"` (the default for independent samples),
            `"rows"` (output entries; the default otherwise) or `"parameters"`. Rows of
            a Hessian are entries of the gradient, `(*out, *in)` flattened.
        memory_budget: Bytes that all of this may take, as in `auto`.
        create_graph: As in `auto`.
        effort: As in `auto`; spent on the first piece, and on pieces of another size.
        strategies: As in `auto`.
        exclude: As in `auto`.
        randomness: As in `auto`.
        layout: As in `auto`.
        quantity: As in `plan`.
        complex: As in `auto`; pieces of a holomorphic function are of samples or of
            parameters.

    Returns:
        An iterator over the pieces, each computed when it is requested; `len` is their
        number, which grows if a piece turns out not to fit.

    Raises:
        ArgumentError: There is no such axis to cut along; or a function is not
            holomorphic.
        MemoryBudgetError: Not even the smallest piece fits.

    Examples:
        >>> import torch, jacengine
        >>> model, x = torch.nn.Linear(3, 1), torch.randn(100, 3)
        >>> gram = torch.zeros(4, 4)
        >>> for piece in jacengine.blocks(
        ...     model, x, wrt="params", batch_dim=0, layout="flat"
        ... ):
        ...     rows = piece.jacobian.flatten(0, 1)
        ...     gram += rows.T @ rows
    """
    options = Options(
        wrt,
        batch_dim,
        create_graph,
        randomness=randomness,
        layout=layout,
        quantity=quantity,
        complex=complex,
    )
    request = plan_request(
        fn,
        args,
        kwargs,
        options,
        strategies=strategies,
        exclude=exclude,
        memory_budget=memory_budget,
        effort=effort,
    )
    jacobian = BlockwiseJacobian(request, cached_plan)
    by = by or jacobian.default_axis
    if complex != "holomorphic":
        return jacobian.pieces(by)
    if by == "rows":
        raise ArgumentError(
            "by=\"rows\" cuts between real output entries, which complex='holomorphic' "
            'does not have. Pass by="samples", by="parameters" or complex=\'as_real\'.'
        )
    require_holomorphic(request)
    return jacobian.pieces(by).changed(lambda piece: _to_complex(piece, options))


def _to_complex(piece: Piece, options: Options) -> Piece:
    """Make a piece of a holomorphic function's Jacobian complex."""
    rows = slice(piece.rows.start, piece.rows.stop // 2)
    return replace(piece, rows=rows, jacobian=complex_result(options, piece.jacobian))
