"""`auto`: a Jacobian by the fastest method that is right and fits."""

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
        AllAutoOptions,
        AutoEntries,
        AutoOptions,
    )
    from jacengine.distributed.choose_axis import Shard


@overload
def auto(
    fn: Function, *args: Any, wrt: Undetermined, **options: Unpack[AllAutoOptions]
) -> Any: ...


@overload
def auto(
    fn: Function,
    *args: Any,
    has_aux: Literal[True],
    layout: LayoutOption = "dict",
    wrt: Wrt = 0,
    **options: Unpack[AutoEntries],
) -> tuple[Any, Any]: ...


@overload
def auto(
    fn: Function,
    *args: Any,
    layout: SparseLayout,
    wrt: Wrt = 0,
    **options: Unpack[AutoEntries],
) -> Tensor: ...


@overload
def auto(
    fn: UntypedModule, *args: Any, wrt: Wrt = 0, **options: Unpack[AllAutoOptions]
) -> Any: ...


@overload
def auto(
    fn: TensorModule, *args: Any, wrt: ByName, **options: Unpack[AutoOptions]
) -> dict[str, Tensor]: ...


@overload
def auto(
    fn: TensorModule, *args: Leaf, wrt: int = 0, **options: Unpack[AutoOptions]
) -> Tensor: ...


@overload
def auto(
    fn: TensorModule,
    *args: Any,
    layout: Flat,
    wrt: Wrt = 0,
    **options: Unpack[AutoEntries],
) -> Tensor: ...


@overload
def auto(
    fn: UntypedFunction, *args: Any, wrt: Wrt = 0, **options: Unpack[AllAutoOptions]
) -> Any: ...


@overload
def auto(
    fn: TensorFunction, *args: Leaf, wrt: int = 0, **options: Unpack[AutoOptions]
) -> Tensor: ...


@overload
def auto(
    fn: TensorFunction,
    *args: Leaf,
    wrt: tuple[int, ...],
    **options: Unpack[AutoOptions],
) -> tuple[Tensor, ...]: ...


@overload
def auto(
    fn: TensorFunction,
    *args: Any,
    layout: Flat,
    wrt: Wrt = 0,
    **options: Unpack[AutoEntries],
) -> Tensor: ...


@overload
def auto(
    fn: Function, *args: Any, wrt: Wrt = 0, **options: Unpack[AllAutoOptions]
) -> Any: ...


def auto(
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
    complex: ComplexOption = None,
    mesh: DeviceMesh | None = None,
    shard: Shard = "auto",
    gather: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> Any:
    """Compute a Jacobian by the fastest method that is right and fits.

    The first call tries what one call pays for. When calls have taken as long as a race
    of all methods does, the race is run; when they have taken as long as compiling
    does, the fastest methods are compiled beside them.

    Args:
        fn: A function or `nn.Module`.
        args: Its positional arguments, pytrees of tensors.
        kwargs: Its keyword arguments.
        wrt: What to differentiate: an argument index, a tuple of them, `"inputs"`,
            `"params"`, or a list of parameter names.
        batch_dim: `None` for the Jacobian of everything, `0` (or a tuple with one entry
            an argument, as vmap's `in_dims`) if `fn` maps independent samples to
            outputs with samples along axis 0.
        memory_budget: Bytes, a size such as `"512MiB"`, or a fraction of the free
            memory; covers the result and everything on the way. Default: 80 % of what
            is free.
        out: Preallocated result, written in place and returned. It may be larger than
            the memory (`torch.from_file(..., shared=True)`): what does not fit into the
            budget is computed in pieces.
        create_graph: Whether the result can be differentiated again.
        effort: `"none"` (no timing), `"quick"`, or `"thorough"`, which races at once.
        strategies: Names of the candidates; all by default.
        exclude: Names to leave out.
        rows: Only these output entries: a 1-D index tensor or a slice over the outputs
            (of one sample) flattened.
        columns: Only these input entries, likewise.
        has_aux: Whether `fn` returns `(out, aux)`.
        randomness: What to do about a function that draws random numbers: `"error"`;
            or `"same"` or `"different"`, which differentiate it at the draw that a
            plain call would make now (all directions see that draw; samples draw as the
            plain call does).
        layout: `"dict"` nests the result as the inputs nest; `"flat"` puts all inputs
            side by side into the last axis: `(*out, N)`, per sample `(B, *out, N)`.
            `named_views` finds parameters in it.
            `"coo"`, `"csr"` and `"values"` give one sparse matrix of all outputs by all
            inputs, `(M, N)`, or its nonzeros in the order of `jacengine.sparsity`.
        sparsity: `"auto"` uses sparsity where that pays; `"detect"` always; `None`
            never. Or the pattern: a `Pattern`, a boolean tensor, `(rows, columns)`, or
            a torch or SciPy sparse matrix; that of one sample with `batch_dim`.
        verify: Whether one random direction goes with the colours of a pattern at every
            call, which finds nonzeros outside of it. `False` leaves it out, if the
            pattern is known to hold everywhere; it is still verified at the choice.
        compiled: As in `plan`.
        calls: How many such calls there will be, if known: the first one then races
            all methods if that pays.
        complex: What to do about complex tensors: `None` refuses them; `"as_real"`
            views them as pairs of real numbers, so that J is `(*out, 2, *in, 2)` where
            the respective side is complex; `"holomorphic"` gives a complex J,
            `(*out, *in)`, of a function that satisfies the Cauchy-Riemann equations.
            These are checked along a random direction (at every call, if `verify`).
        mesh: A `DeviceMesh` of one dimension: every rank makes this call, with the same
            arguments, and computes a shard of the result.
        shard: Along which axis to split over the mesh: `"samples"`, `"rows"` (output
            entries), `"columns"` (input entries), or where ranks compute least.
        gather: Whether all ranks get the whole result, instead of a `DTensor`.
        timeout_s: Seconds that ranks wait for each other.

    Returns:
        As `jacobian`; over a mesh with a `DTensor` in the place of each tensor, and a
        `SparseShard` for each CSR or COO tensor.

    Raises:
        ShardError: Some rank of the mesh failed, or is missing.
        MemoryBudgetError: The result, or every right method, exceeds the budget.
        JacengineError: See `jacengine.errors`; among them `NoStrategyError`.

    Examples:
        >>> import torch, jacengine
        >>> model = torch.nn.Linear(3, 2)
        >>> jacengine.auto(model, torch.randn(5, 3), batch_dim=0).shape
        torch.Size([5, 2, 3])
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
