"""`hessian`: the Jacobian of the gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from torch import Tensor

from jacengine.api.mesh import TIMEOUT_S, compute_here_or_over
from jacengine.api.strategies import plan_request
from jacengine.patterns.given import sparsity_option
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.call_spec import Wrt
from jacengine.problem.problem import (
    ComplexOption,
    Entries,
    LayoutOption,
    Options,
    Randomness,
    Triangle,
)
from jacengine.selection.budget import Budget
from jacengine.selection.effort import Compiled, Effort

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

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
        AllHessianOptions,
        HessianEntries,
        HessianOptions,
    )
    from jacengine.distributed.choose_axis import Shard


@overload
def hessian(
    fn: Function, *args: Any, wrt: Undetermined, **options: Unpack[AllHessianOptions]
) -> Any: ...


@overload
def hessian(
    fn: Function,
    *args: Any,
    has_aux: Literal[True],
    layout: LayoutOption = "dict",
    wrt: Wrt = 0,
    **options: Unpack[HessianEntries],
) -> tuple[Any, Any]: ...


@overload
def hessian(
    fn: Function,
    *args: Any,
    layout: SparseLayout,
    wrt: Wrt = 0,
    **options: Unpack[HessianEntries],
) -> Tensor: ...


@overload
def hessian(
    fn: UntypedModule, *args: Any, wrt: Wrt = 0, **options: Unpack[AllHessianOptions]
) -> Any: ...


@overload
def hessian(
    fn: TensorModule, *args: Any, wrt: ByName, **options: Unpack[HessianOptions]
) -> dict[str, dict[str, Tensor]]: ...


@overload
def hessian(
    fn: TensorModule, *args: Leaf, wrt: int = 0, **options: Unpack[HessianOptions]
) -> Tensor: ...


@overload
def hessian(
    fn: TensorModule,
    *args: Any,
    layout: Flat,
    wrt: Wrt = 0,
    **options: Unpack[HessianEntries],
) -> Tensor: ...


@overload
def hessian(
    fn: UntypedFunction, *args: Any, wrt: Wrt = 0, **options: Unpack[AllHessianOptions]
) -> Any: ...


@overload
def hessian(
    fn: TensorFunction, *args: Leaf, wrt: int = 0, **options: Unpack[HessianOptions]
) -> Tensor: ...


@overload
def hessian(
    fn: TensorFunction,
    *args: Leaf,
    wrt: tuple[int, ...],
    **options: Unpack[HessianOptions],
) -> tuple[tuple[Tensor, ...], ...]: ...


@overload
def hessian(
    fn: TensorFunction,
    *args: Any,
    layout: Flat,
    wrt: Wrt = 0,
    **options: Unpack[HessianEntries],
) -> Tensor: ...


@overload
def hessian(
    fn: Function, *args: Any, wrt: Wrt = 0, **options: Unpack[AllHessianOptions]
) -> Any: ...


def hessian(
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
    triangle: Triangle = None,
    compiled: Compiled = "auto",
    calls: int | None = None,
    complex: ComplexOption = None,
    mesh: DeviceMesh | None = None,
    shard: Shard = "auto",
    gather: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> Any:
    """Compute a Hessian by the fastest method that is right and fits.

    It is the Jacobian of the gradient: forward over reverse, reverse over reverse,
    forward over forward and reverse over forward are raced and verified as the methods
    of `auto` are. One pass serves the same entry of all samples.

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
        strategies: Names of `list_strategies("hessian")`; all by default.
        exclude: Names to leave out.
        rows: Only these entries of the gradient, `(*out, *in)` flattened.
        columns: Only these input entries of the second derivative.
        has_aux: Whether `fn` returns `(out, aux)`.
        randomness: As in `auto`.
        layout: `"dict"` nests by the first input, then by the second; `"flat"` puts all
            inputs side by side: `(*out, N, N)`, per sample `(B, *out, N, N)`. `"coo"`,
            `"csr"` and `"values"` give one sparse matrix, as in `auto`.
        sparsity: As in `auto`.
        verify: As in `auto`.
        triangle: `"lower"` returns the entries on and below the diagonal alone, for
            the sparse layouts and functions that return one number.
        compiled: As in `auto`.
        calls: As in `auto`.
        complex: As in `auto`: with `"as_real"`, H has an axis of 2 after each `*out`
            and `*in` that is complex; with `"holomorphic"` it is the second complex
            derivative.
        mesh: As in `auto`.
        shard: As in `auto`.
        gather: As in `auto`.
        timeout_s: As in `auto`.

    Returns:
        H with shape `(*out, *in, *in)`, per sample `(B, *out, *in, *in)`, nested
        outputs outside as by `torch.func.hessian`; for parameters a dict of dicts by
        name. With `has_aux`, `(H, aux)`.

    Raises:
        JacengineError: As `auto`.

    Examples:
        >>> import torch, jacengine
        >>> jacengine.hessian(lambda x: (x**3).sum(), torch.tensor([1.0, 2.0]))
        tensor([[ 6.,  0.],
                [ 0., 12.]])
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
        "hessian",
        sparsity_option(sparsity),
        verify=verify,
        triangle=triangle,
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
        compiled=compiled,
        calls=calls,
    )
    return compute_here_or_over(
        mesh, shard, request, out, gather=gather, timeout_s=timeout_s
    )
