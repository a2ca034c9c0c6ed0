"""`blocks`: a Jacobian or Hessian that exceeds the memory, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

from torch import Tensor

from jacengine.api.blockwise import PieceOptions
from jacengine.api.spread_blocks import spread_blocks
from jacengine.distributed.spread import Executor
from jacengine.errors import ArgumentError
from jacengine.plans.blockwise import Axis, Pieces
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
def blocks(fn: str, *, wrt: Wrt = 0, **options: Unpack[AllBlocksOptions]) -> Pieces: ...


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
    fn: Callable[..., Any] | str,
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
    min_pieces: int | None = None,
    executor: Executor | None = None,
    folder: str | Path | None = None,
) -> Pieces:
    """Iterate over the pieces of a Jacobian, or Hessian, that exceeds the memory.

    Pieces are as large as the budget lets them be while the consumer holds one and the
    next is computed. Together they are the Jacobian, in order and without overlap.

    Args:
        fn: A function or `nn.Module`. With `executor`, the builder `"module:function"`
            that returns it with its arguments: `(fn, x)` or `(fn, (x, y))`.
        args: Its positional arguments, pytrees of tensors.
        kwargs: Its keyword arguments.
        wrt: As in `auto`.
        batch_dim: As in `auto`.
        by: Along what to cut: `"samples"` (the default for independent samples),
            `"rows"` (output entries; the default otherwise) or `"parameters"`. Rows of
            a Hessian are entries of the gradient, `(*out, *in)` flattened.
        memory_budget: Bytes that all of this may take, as in `auto`; in each worker of
            an executor.
        create_graph: As in `auto`.
        effort: As in `auto`; spent on the first piece, and on pieces of another size.
        strategies: As in `auto`.
        exclude: As in `auto`.
        randomness: As in `auto`.
        layout: As in `auto`.
        quantity: As in `plan`.
        complex: As in `auto`; pieces of a holomorphic function are of samples or of
            parameters.
        min_pieces: About how many pieces there are at least, if the axis is that long:
            1, or 16 with `executor`.
        executor: A `concurrent.futures.Executor` (of processes, MPI, Dask, Slurm), or
            what has its `submit`, whose workers compute the pieces. They come back on
            the CPU.
        folder: With `executor`, where workers write the pieces, as files in the format
            of safetensors and a `manifest.json`. They are mapped into memory when they
            are requested. Those that are there and intact are not computed again.

    Returns:
        An iterator over the pieces, each computed when it is requested; `len` is their
        number, which grows if a piece turns out not to fit. With `executor`, pieces are
        computed ahead: all into a folder, or as many as the budget has room for here.

    Raises:
        ArgumentError: There is no such axis to cut along; a function is not
            holomorphic; the builder returns other values in a worker; or the folder
            holds pieces of another call.
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
    if min_pieces is not None and min_pieces < 1:
        raise ArgumentError(f"min_pieces={min_pieces!r}: expected 1 or more.")
    result = Options(
        wrt,
        batch_dim,
        create_graph,
        randomness=randomness,
        layout=layout,
        quantity=quantity,
        complex=complex,
    )
    options = PieceOptions(result, strategies, exclude, memory_budget, effort)
    if isinstance(fn, str):
        if args or kwargs:
            raise ArgumentError(
                f"blocks({fn!r}): the builder returns the arguments; pass no others."
            )
        place = None if folder is None else Path(folder)
        return spread_blocks(
            executor, fn, options, by=by, at_least=min_pieces, folder=place
        )
    if executor is not None or folder is not None:
        raise ArgumentError(
            'executor= and folder= need a builder "module:function" in the place of '
            "fn, which workers import: models and plans do not travel."
        )
    jacobian, _ = options.analyze(fn, args, kwargs)
    return jacobian.pieces(by or jacobian.default_axis, min_pieces or 1)
