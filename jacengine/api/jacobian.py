"""`jacobian`: by a named strategy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from torch import Tensor

from jacengine.api.strategies import known_strategies, plan_request
from jacengine.errors import ArgumentError, kind_of
from jacengine.interface import Composition, Strategy
from jacengine.patterns.given import sparsity_option
from jacengine.plans.complex_result import compute_complex
from jacengine.plans.named import compute_by_name
from jacengine.plans.planning import compute
from jacengine.plans.request import PlanRequest
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.call_spec import Wrt
from jacengine.problem.problem import (
    ComplexOption,
    Entries,
    LayoutOption,
    Options,
    Randomness,
)
from jacengine.problem.real_call import real_call
from jacengine.selection.effort import Compiled

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
        AllJacobianOptions,
        JacobianEntries,
        JacobianOptions,
    )


@overload
def jacobian(
    fn: Function, *args: Any, wrt: Undetermined, **options: Unpack[AllJacobianOptions]
) -> Any: ...


@overload
def jacobian(
    fn: Function,
    *args: Any,
    has_aux: Literal[True],
    layout: LayoutOption = "dict",
    wrt: Wrt = 0,
    **options: Unpack[JacobianEntries],
) -> tuple[Any, Any]: ...


@overload
def jacobian(
    fn: Function,
    *args: Any,
    layout: SparseLayout,
    wrt: Wrt = 0,
    **options: Unpack[JacobianEntries],
) -> Tensor: ...


@overload
def jacobian(
    fn: UntypedModule, *args: Any, wrt: Wrt = 0, **options: Unpack[AllJacobianOptions]
) -> Any: ...


@overload
def jacobian(
    fn: TensorModule, *args: Any, wrt: ByName, **options: Unpack[JacobianOptions]
) -> dict[str, Tensor]: ...


@overload
def jacobian(
    fn: TensorModule, *args: Leaf, wrt: int = 0, **options: Unpack[JacobianOptions]
) -> Tensor: ...


@overload
def jacobian(
    fn: TensorModule,
    *args: Any,
    layout: Flat,
    wrt: Wrt = 0,
    **options: Unpack[JacobianEntries],
) -> Tensor: ...


@overload
def jacobian(
    fn: UntypedFunction, *args: Any, wrt: Wrt = 0, **options: Unpack[AllJacobianOptions]
) -> Any: ...


@overload
def jacobian(
    fn: TensorFunction, *args: Leaf, wrt: int = 0, **options: Unpack[JacobianOptions]
) -> Tensor: ...


@overload
def jacobian(
    fn: TensorFunction,
    *args: Leaf,
    wrt: tuple[int, ...],
    **options: Unpack[JacobianOptions],
) -> tuple[Tensor, ...]: ...


@overload
def jacobian(
    fn: TensorFunction,
    *args: Any,
    layout: Flat,
    wrt: Wrt = 0,
    **options: Unpack[JacobianEntries],
) -> Tensor: ...


@overload
def jacobian(
    fn: Function, *args: Any, wrt: Wrt = 0, **options: Unpack[AllJacobianOptions]
) -> Any: ...


def jacobian(
    fn: Callable[..., Any],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    wrt: Wrt = 0,
    batch_dim: BatchDim = None,
    strategy: str | Strategy = "auto",
    chunk_size: int | None = None,
    create_graph: bool = False,
    out: Any = None,
    rows: Entries = None,
    columns: Entries = None,
    has_aux: bool = False,
    randomness: Randomness = "error",
    layout: LayoutOption = "dict",
    sparsity: Any = "auto",
    verify: bool = True,
    compiled: Compiled = "auto",
    calls: int | None = None,
    complex: ComplexOption = None,
) -> Any:
    """Compute a Jacobian by a named method, which is verified once a signature.

    Args:
        fn: A function or `nn.Module`.
        args: Its positional arguments, pytrees of tensors.
        kwargs: Its keyword arguments.
        wrt: As in `auto`.
        batch_dim: As in `auto`.
        strategy: A name from `list_strategies()`, a strategy object, or `"auto"`.
        chunk_size: Directions a pass, `None` for all at once.
        create_graph: Whether the result can be differentiated again.
        out: Preallocated result, written in place and returned.
        rows: As in `auto`.
        columns: As in `auto`.
        has_aux: Whether `fn` returns `(out, aux)`.
        randomness: As in `auto`.
        layout: As in `auto`.
        sparsity: As in `auto`.
        verify: As in `auto`.
        compiled: As in `auto`, for `strategy="auto"`; a named one is not compiled.
        calls: As in `auto`, for `strategy="auto"`.
        complex: As in `auto`.

    Returns:
        J with shape `(*out, *in)`, per sample `(B, *out, *in)`, nested outputs outside
        and inputs inside as by `torch.func.jacrev`; for parameters a dict by name. With
        `has_aux`, `(J, aux)`.

    Raises:
        ArgumentError: An option does not fit the call.
        UnsupportedError: The method cannot compute this one, with the reason.
        JacengineError: See `jacengine.errors`.

    Examples:
        >>> import torch, jacengine
        >>> x = torch.tensor([1.0, 2.0])
        >>> jacengine.jacobian(lambda x: x**2, x, strategy="vmap_jvp")
        tensor([[2., 0.],
                [0., 4.]])
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
        complex=complex,
    )
    _check_chunk_size(chunk_size)
    if strategy == "auto":
        if chunk_size is not None:
            raise ArgumentError(
                f"chunk_size={chunk_size!r} belongs to a named strategy; "
                "strategy='auto' chooses it. Name a strategy, or leave it out."
            )
        request = plan_request(
            fn, args, kwargs, options, compiled=compiled, calls=calls
        )
        return compute_complex(request, compute, out)
    if compiled is True or calls is not None:
        raise ArgumentError(
            f"compiled={compiled!r} and calls={calls!r} belong to strategy='auto'; a "
            "named strategy is not compiled by this function. Leave them out, or make "
            "a plan: jacengine.plan(..., strategies=[...], compiled=True)."
        )
    if isinstance(strategy, str):
        composition = known_strategies().get(strategy, "jacobian")
    elif isinstance(strategy, Strategy):
        composition = Composition(strategy)
    else:
        raise ArgumentError(
            f"strategy={strategy!r}: expected a name of list_strategies() or a "
            f"strategy, got {kind_of(strategy)}."
        )
    call = real_call(fn, args, kwargs or {}, options)
    request = PlanRequest(*call, (composition,))
    return compute_complex(
        request, lambda request, out: compute_by_name(request, chunk_size, out), out
    )


def _check_chunk_size(chunk_size: object) -> None:
    if chunk_size is None:
        return
    if (
        isinstance(chunk_size, bool)
        or not isinstance(chunk_size, int)
        or chunk_size < 1
    ):
        raise ArgumentError(
            f"chunk_size={chunk_size!r}: expected a positive number of directions a "
            "pass, or None for all."
        )
