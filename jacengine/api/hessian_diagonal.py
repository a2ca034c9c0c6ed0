"""`hessian_diagonal`: the second derivative by each entry alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from torch import Tensor

from jacengine.api.strategies import plan_request
from jacengine.plans.planning import compute
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.call_spec import Wrt
from jacengine.problem.problem import (
    Entries,
    LayoutOption,
    Options,
    Randomness,
)
from jacengine.selection.budget import Budget
from jacengine.selection.effort import Compiled, Effort

if TYPE_CHECKING:
    from jacengine.api.function_types import (
        ByName,
        Flat,
        Function,
        Leaf,
        TensorFunction,
        TensorModule,
        Undetermined,
        UntypedFunction,
        UntypedModule,
    )
    from jacengine.api.option_types import (
        AllHessianDiagonalOptions,
        HessianDiagonalEntries,
        HessianDiagonalOptions,
    )


@overload
def hessian_diagonal(
    fn: Function,
    *args: Any,
    wrt: Undetermined,
    **options: Unpack[AllHessianDiagonalOptions],
) -> Any: ...


@overload
def hessian_diagonal(
    fn: Function,
    *args: Any,
    has_aux: Literal[True],
    layout: LayoutOption = "dict",
    wrt: Wrt = 0,
    **options: Unpack[HessianDiagonalEntries],
) -> tuple[Any, Any]: ...


@overload
def hessian_diagonal(
    fn: UntypedModule,
    *args: Any,
    wrt: Wrt = 0,
    **options: Unpack[AllHessianDiagonalOptions],
) -> Any: ...


@overload
def hessian_diagonal(
    fn: TensorModule, *args: Any, wrt: ByName, **options: Unpack[HessianDiagonalOptions]
) -> dict[str, Tensor]: ...


@overload
def hessian_diagonal(
    fn: TensorModule,
    *args: Leaf,
    wrt: int = 0,
    **options: Unpack[HessianDiagonalOptions],
) -> Tensor: ...


@overload
def hessian_diagonal(
    fn: TensorModule,
    *args: Any,
    layout: Flat,
    wrt: Wrt = 0,
    **options: Unpack[HessianDiagonalEntries],
) -> Tensor: ...


@overload
def hessian_diagonal(
    fn: UntypedFunction,
    *args: Any,
    wrt: Wrt = 0,
    **options: Unpack[AllHessianDiagonalOptions],
) -> Any: ...


@overload
def hessian_diagonal(
    fn: TensorFunction,
    *args: Leaf,
    wrt: int = 0,
    **options: Unpack[HessianDiagonalOptions],
) -> Tensor: ...


@overload
def hessian_diagonal(
    fn: TensorFunction,
    *args: Leaf,
    wrt: tuple[int, ...],
    **options: Unpack[HessianDiagonalOptions],
) -> tuple[Tensor, ...]: ...


@overload
def hessian_diagonal(
    fn: TensorFunction,
    *args: Any,
    layout: Flat,
    wrt: Wrt = 0,
    **options: Unpack[HessianDiagonalEntries],
) -> Tensor: ...


@overload
def hessian_diagonal(
    fn: Function, *args: Any, wrt: Wrt = 0, **options: Unpack[AllHessianDiagonalOptions]
) -> Any: ...


def hessian_diagonal(
    fn: Callable[..., Any],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    wrt: Wrt = 0,
    batch_dim: BatchDim = None,
    memory_budget: Budget = None,
    out: Any = None,
    create_graph: bool = False,
    effort: Effort = "quick",
    strategies: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    columns: Entries = None,
    has_aux: bool = False,
    randomness: Randomness = "error",
    layout: LayoutOption = "dict",
    compiled: Compiled = "auto",
    calls: int | None = None,
) -> Any:
    """Compute the diagonal of a Hessian, exactly and without the rest of it.

    Args:
        fn: A function or `nn.Module`.
        args: Its positional arguments, pytrees of tensors.
        kwargs: Its keyword arguments.
        wrt: What to differentiate by, twice; as in `auto`.
        batch_dim: As in `auto`.
        memory_budget: As in `auto`.
        out: As in `auto`.
        create_graph: Whether the result can be differentiated again.
        effort: As in `auto`.
        strategies: Names of `list_strategies("hessian_diagonal")`; all by default.
        exclude: Names to leave out.
        columns: Only these input entries; the result has `K` in place of `*in`.
        has_aux: Whether `fn` returns `(out, aux)`.
        randomness: As in `auto`.
        layout: As in `auto`.
        compiled: As in `auto`.
        calls: As in `auto`.

    Returns:
        `(*out, *in)`, per sample `(B, *out, *in)`: the second derivative by each input
        entry, nested as a Jacobian. With `has_aux`, `(diagonal, aux)`.

    Raises:
        JacengineError: As `auto`.

    Examples:
        >>> import torch, jacengine
        >>> jacengine.hessian_diagonal(lambda x: x.prod(), torch.tensor([2.0, 3.0]))
        tensor([0., 0.])
    """
    options = Options(
        wrt,
        batch_dim,
        create_graph,
        None,
        columns,
        has_aux,
        randomness,
        layout,
        "hessian_diagonal",
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
        compiled=compiled,
        calls=calls,
    )
    return compute(request, out)
