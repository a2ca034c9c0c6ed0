"""The diagonal of a Jacobian, its sum, and the logarithm of its determinant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from torch import Tensor

from jacengine.api.strategies import plan_request
from jacengine.plans.determinant import log_abs_det
from jacengine.plans.planning import compute
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.call_spec import Wrt
from jacengine.problem.problem import Entries, Options, Randomness
from jacengine.selection.budget import Budget
from jacengine.selection.effort import Compiled, Effort

if TYPE_CHECKING:
    from jacengine.api.function_types import (
        Function,
        Leaf,
        Undetermined,
    )
    from jacengine.api.option_types import (
        AllDiagonalOptions,
        DiagonalEntries,
        DiagonalOptions,
    )


@overload
def diagonal(
    fn: Function, *args: Any, wrt: Undetermined, **options: Unpack[AllDiagonalOptions]
) -> Any: ...


@overload
def diagonal(
    fn: Function,
    *args: Any,
    has_aux: Literal[True],
    wrt: Wrt = 0,
    **options: Unpack[DiagonalEntries],
) -> tuple[Any, Any]: ...


@overload
def diagonal(
    fn: Function, *args: Leaf, wrt: int = 0, **options: Unpack[DiagonalOptions]
) -> Tensor: ...


@overload
def diagonal(
    fn: Function, *args: Leaf, wrt: tuple[int, ...], **options: Unpack[DiagonalOptions]
) -> tuple[Tensor, ...]: ...


@overload
def diagonal(
    fn: Function, *args: Any, wrt: Wrt = 0, **options: Unpack[AllDiagonalOptions]
) -> Any: ...


def diagonal(
    fn: Callable[..., Any],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    wrt: Wrt = 0,
    batch_dim: BatchDim = None,
    memory_budget: Budget = None,
    out: Any = None,
    create_graph: bool = False,
    effort: Effort = "quick",
    columns: Entries = None,
    has_aux: bool = False,
    randomness: Randomness = "error",
    compiled: Compiled = "auto",
    calls: int | None = None,
) -> Any:
    """Compute the diagonal of a Jacobian, exactly and without the rest of it.

    Args:
        fn: A function or `nn.Module` whose outputs have the shapes of its inputs.
        args: Its positional arguments, pytrees of tensors.
        kwargs: Its keyword arguments.
        wrt: What to differentiate; as in `auto`.
        batch_dim: As in `auto`.
        memory_budget: As in `auto`.
        out: As in `auto`.
        create_graph: Whether the result can be differentiated again.
        effort: As in `auto`.
        columns: Only these input entries; the result has `K` in place of `*in`.
        has_aux: Whether `fn` returns `(out, aux)`.
        randomness: As in `auto`.
        compiled: As in `auto`.
        calls: As in `auto`.

    Returns:
        `(*in)`, per sample `(B, *in)`, nested as the inputs: the derivative of each
        output entry by the same input entry. With `has_aux`, `(diagonal, aux)`.

    Raises:
        ArgumentError: The outputs are not like the inputs.
        JacengineError: As `auto`.

    Examples:
        >>> import torch, jacengine
        >>> jacengine.diagonal(lambda x: x**2 + x.flip(0), torch.tensor([1.0, 2.0]))
        tensor([2., 4.])
    """
    options = Options(
        wrt,
        batch_dim,
        create_graph,
        None,
        columns,
        has_aux,
        randomness,
        quantity="diagonal",
    )
    request = plan_request(
        fn,
        args,
        kwargs,
        options,
        memory_budget=memory_budget,
        effort=effort,
        compiled=compiled,
        calls=calls,
    )
    return compute(request, out)


@overload
def divergence(
    fn: Function, *args: Any, wrt: Undetermined, **options: Unpack[AllDiagonalOptions]
) -> Any: ...


@overload
def divergence(
    fn: Function,
    *args: Any,
    has_aux: Literal[True],
    wrt: Wrt = 0,
    **options: Unpack[DiagonalEntries],
) -> tuple[Tensor, Any]: ...


@overload
def divergence(
    fn: Function,
    *args: Any,
    has_aux: Literal[False] = False,
    wrt: Wrt = 0,
    **options: Unpack[DiagonalEntries],
) -> Tensor: ...


@overload
def divergence(
    fn: Function, *args: Any, wrt: Wrt = 0, **options: Unpack[AllDiagonalOptions]
) -> Any: ...


def divergence(
    fn: Callable[..., Any],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    wrt: Wrt = 0,
    batch_dim: BatchDim = 0,
    memory_budget: Budget = None,
    out: Any = None,
    create_graph: bool = False,
    effort: Effort = "quick",
    columns: Entries = None,
    has_aux: bool = False,
    randomness: Randomness = "error",
    compiled: Compiled = "auto",
    calls: int | None = None,
) -> Any:
    """Compute the divergence of a vector field, the trace of its Jacobian, exactly.

    Continuous normalising flows and score models need it.

    Args:
        fn: A function or `nn.Module` whose outputs have the shapes of its inputs.
        args: Its positional arguments, pytrees of tensors.
        kwargs: Its keyword arguments.
        wrt: What to differentiate; as in `auto`.
        batch_dim: As in `auto`, but 0 by default: `fn` maps samples to samples.
        memory_budget: As in `auto`.
        out: As in `auto`.
        create_graph: Whether the result can be differentiated again.
        effort: As in `auto`.
        columns: Sum over these input entries alone.
        has_aux: Whether `fn` returns `(out, aux)`.
        randomness: As in `auto`.
        compiled: As in `auto`.
        calls: As in `auto`.

    Returns:
        `(B,)`, without `batch_dim` `()`. With `has_aux`, `(divergence, aux)`.

    Raises:
        ArgumentError: The outputs are not like the inputs.
        JacengineError: As `auto`.

    Examples:
        >>> import torch, jacengine
        >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> jacengine.divergence(lambda x: x**2, x)
        tensor([ 6., 14.])
    """
    options = Options(
        wrt,
        batch_dim,
        create_graph,
        None,
        columns,
        has_aux,
        randomness,
        quantity="divergence",
    )
    request = plan_request(
        fn,
        args,
        kwargs,
        options,
        memory_budget=memory_budget,
        effort=effort,
        compiled=compiled,
        calls=calls,
    )
    return compute(request, out)


def logabsdet(
    fn: Callable[..., Any],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    wrt: int = 0,
    batch_dim: BatchDim = 0,
    memory_budget: Budget = None,
    create_graph: bool = False,
    effort: Effort = "quick",
    compiled: Compiled = "auto",
    calls: int | None = None,
) -> Tensor:
    """Compute the logarithm of the absolute determinant of a Jacobian.

    Normalising flows need it. Where the function as a program shows that J is
    triangular, as of an autoregressive flow, it is the sum over the diagonal; else J is
    factorised.

    Args:
        fn: A function or `nn.Module` with one output of the size of its input.
        args: Its positional arguments, pytrees of tensors.
        kwargs: Its keyword arguments.
        wrt: The argument to differentiate by.
        batch_dim: As in `auto`, but 0 by default: `fn` maps samples to samples.
        memory_budget: As in `auto`.
        create_graph: Whether the result can be differentiated again.
        effort: As in `auto`.
        compiled: As in `auto`.
        calls: As in `auto`.

    Returns:
        `(B,)`, without `batch_dim` `()`; minus infinity where J is singular.

    Raises:
        ArgumentError: The output has not the size of the input, or there are several.
        JacengineError: As `auto`.

    Examples:
        >>> import torch, jacengine
        >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> jacengine.logabsdet(lambda x: x.exp(), x)
        tensor([3., 7.])
    """
    options = Options(wrt, batch_dim, create_graph, layout="flat", sparsity=None)
    request = plan_request(
        fn,
        args,
        kwargs,
        options,
        memory_budget=memory_budget,
        effort=effort,
        compiled=compiled,
        calls=calls,
    )
    return log_abs_det(request)
