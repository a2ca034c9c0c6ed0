"""`value_and_jacobian`: what a function returns, and its Jacobian, from one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from torch import Tensor

from jacengine.api.strategies import plan_request
from jacengine.patterns.given import sparsity_option
from jacengine.plans.planning import compute
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.call_spec import Wrt
from jacengine.problem.problem import Entries, LayoutOption, Options, Randomness
from jacengine.selection.budget import Budget
from jacengine.selection.effort import Compiled, Effort

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
        AllValueOptions,
        ValueEntries,
        ValueOptions,
    )


@overload
def value_and_jacobian(
    fn: Function, *args: Any, wrt: Undetermined, **options: Unpack[AllValueOptions]
) -> tuple[Any, Any]: ...


@overload
def value_and_jacobian(
    fn: Function,
    *args: Any,
    has_aux: Literal[True],
    layout: LayoutOption = "dict",
    wrt: Wrt = 0,
    **options: Unpack[ValueEntries],
) -> tuple[tuple[Any, Any], Any]: ...


@overload
def value_and_jacobian(
    fn: Function,
    *args: Any,
    layout: SparseLayout,
    wrt: Wrt = 0,
    **options: Unpack[ValueEntries],
) -> tuple[Any, Tensor]: ...


@overload
def value_and_jacobian(
    fn: UntypedModule, *args: Any, wrt: Wrt = 0, **options: Unpack[AllValueOptions]
) -> tuple[Any, Any]: ...


@overload
def value_and_jacobian(
    fn: TensorModule, *args: Any, wrt: ByName, **options: Unpack[ValueOptions]
) -> tuple[Tensor, dict[str, Tensor]]: ...


@overload
def value_and_jacobian(
    fn: TensorModule, *args: Leaf, wrt: int = 0, **options: Unpack[ValueOptions]
) -> tuple[Tensor, Tensor]: ...


@overload
def value_and_jacobian(
    fn: TensorModule,
    *args: Any,
    layout: Flat,
    wrt: Wrt = 0,
    **options: Unpack[ValueEntries],
) -> tuple[Tensor, Tensor]: ...


@overload
def value_and_jacobian(
    fn: UntypedFunction, *args: Any, wrt: Wrt = 0, **options: Unpack[AllValueOptions]
) -> tuple[Any, Any]: ...


@overload
def value_and_jacobian(
    fn: TensorFunction, *args: Leaf, wrt: int = 0, **options: Unpack[ValueOptions]
) -> tuple[Tensor, Tensor]: ...


@overload
def value_and_jacobian(
    fn: TensorFunction,
    *args: Leaf,
    wrt: tuple[int, ...],
    **options: Unpack[ValueOptions],
) -> tuple[Tensor, tuple[Tensor, ...]]: ...


@overload
def value_and_jacobian(
    fn: TensorFunction,
    *args: Any,
    layout: Flat,
    wrt: Wrt = 0,
    **options: Unpack[ValueEntries],
) -> tuple[Tensor, Tensor]: ...


@overload
def value_and_jacobian(
    fn: Function, *args: Any, wrt: Wrt = 0, **options: Unpack[AllValueOptions]
) -> tuple[Any, Any]: ...


def value_and_jacobian(
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
    rows: Entries = None,
    columns: Entries = None,
    has_aux: bool = False,
    randomness: Randomness = "error",
    layout: LayoutOption = "dict",
    sparsity: Any = "auto",
    verify: bool = True,
    compiled: Compiled = "auto",
    calls: int | None = None,
) -> tuple[Any, Any]:
    """Compute what a function returns and its Jacobian, from the same forward pass.

    The methods are those of `auto`, and chosen likewise; the function is not called
    once more for its value. `jacengine.plan(..., with_value=True)` chooses once and
    returns the pair at each call.

    Args:
        fn: A function or `nn.Module`.
        args: Its positional arguments, pytrees of tensors.
        kwargs: Its keyword arguments.
        wrt: As in `auto`.
        batch_dim: As in `auto`.
        memory_budget: As in `auto`.
        out: Preallocated Jacobian, written in place and returned.
        create_graph: Whether both results can be differentiated again; else both are
            detached.
        effort: As in `auto`.
        strategies: As in `auto`.
        exclude: As in `auto`.
        rows: As in `auto`; the value is whole.
        columns: As in `auto`.
        has_aux: Whether `fn` returns `(out, aux)`. For `aux` the function is called
            once more.
        randomness: As in `auto`; the value is that of the same draw.
        layout: As in `auto`.
        sparsity: As in `auto`.
        verify: As in `auto`.
        compiled: As in `plan`.
        calls: As in `auto`.

    Returns:
        `(value, J)`: the value nested as the function nests it, equal to `fn(*args)` up
        to rounding, in memory of its own; J as of `auto`. With `has_aux`,
        `((value, aux), J)`, as `jax.value_and_grad` returns them.

    Raises:
        JacengineError: As `auto`.

    Examples:
        Newton's method for a system of equations:

        >>> import torch, jacengine
        >>> c = torch.tensor([2.0, 3.0, 4.0])
        >>> def residual(x):
        ...     return x + x.exp() + 0.1 * x.roll(1) - c
        >>> x = torch.zeros(3)
        >>> for _ in range(6):
        ...     r, J = jacengine.value_and_jacobian(residual, x)
        ...     x = x - torch.linalg.solve(J, r)
        >>> bool(residual(x).abs().max() < 1e-5)
        True
    """
    options = Options(
        wrt,
        batch_dim,
        create_graph,
        rows,
        columns,
        has_aux,
        randomness,
        layout,
        sparsity=sparsity_option(sparsity),
        verify=verify,
        with_value=True,
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
    value, found = compute(request, out)
    return value, found
