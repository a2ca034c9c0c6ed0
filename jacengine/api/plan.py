"""`plan`: a method chosen once, for many calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from torch import Tensor

from jacengine.api.mesh import TIMEOUT_S, plan_here_or_over
from jacengine.api.strategies import plan_request
from jacengine.patterns.given import sparsity_option
from jacengine.plans.plan import Plan
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
from jacengine.problem.quantity import Quantity
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
        AllPlanOptions,
        PlanEntries,
        PlanOptions,
    )
    from jacengine.distributed.choose_axis import Shard


@overload
def plan(
    fn: Function, *args: Any, wrt: Undetermined, **options: Unpack[AllPlanOptions]
) -> Plan: ...


@overload
def plan(
    fn: Function,
    *args: Any,
    has_aux: Literal[True],
    layout: LayoutOption = "dict",
    wrt: Wrt = 0,
    **options: Unpack[PlanEntries],
) -> Plan[tuple[Any, Any]]: ...


@overload
def plan(
    fn: Function,
    *args: Any,
    layout: SparseLayout,
    wrt: Wrt = 0,
    **options: Unpack[PlanEntries],
) -> Plan[Tensor]: ...


@overload
def plan(
    fn: UntypedModule, *args: Any, wrt: Wrt = 0, **options: Unpack[AllPlanOptions]
) -> Plan: ...


@overload
def plan(
    fn: TensorModule, *args: Any, wrt: ByName, **options: Unpack[PlanOptions]
) -> Plan[dict[str, Tensor]]: ...


@overload
def plan(
    fn: TensorModule, *args: Leaf, wrt: int = 0, **options: Unpack[PlanOptions]
) -> Plan[Tensor]: ...


@overload
def plan(
    fn: TensorModule,
    *args: Any,
    layout: Flat,
    wrt: Wrt = 0,
    **options: Unpack[PlanEntries],
) -> Plan[Tensor]: ...


@overload
def plan(
    fn: UntypedFunction, *args: Any, wrt: Wrt = 0, **options: Unpack[AllPlanOptions]
) -> Plan: ...


@overload
def plan(
    fn: TensorFunction, *args: Leaf, wrt: int = 0, **options: Unpack[PlanOptions]
) -> Plan[Tensor]: ...


@overload
def plan(
    fn: TensorFunction,
    *args: Leaf,
    wrt: tuple[int, ...],
    **options: Unpack[PlanOptions],
) -> Plan[tuple[Tensor, ...]]: ...


@overload
def plan(
    fn: TensorFunction,
    *args: Any,
    layout: Flat,
    wrt: Wrt = 0,
    **options: Unpack[PlanEntries],
) -> Plan[Tensor]: ...


@overload
def plan(
    fn: Function, *args: Any, wrt: Wrt = 0, **options: Unpack[AllPlanOptions]
) -> Plan: ...


def plan(
    fn: Callable[..., Any],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    wrt: Wrt = 0,
    batch_dim: BatchDim = None,
    memory_budget: Budget = None,
    create_graph: bool = False,
    effort: Effort = "quick",
    strategies: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    rows: Entries = None,
    columns: Entries = None,
    has_aux: bool = False,
    with_value: bool = False,
    randomness: Randomness = "error",
    layout: LayoutOption = "dict",
    sparsity: Any = "auto",
    verify: bool = True,
    triangle: Triangle = None,
    quantity: Quantity = "jacobian",
    compiled: Compiled = "auto",
    calls: int | None = None,
    complex: ComplexOption = None,
    mesh: DeviceMesh | None = None,
    shard: Shard = "auto",
    gather: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> Plan:
    """Choose a method once; the plan computes the Jacobian at further arguments.

    Args:
        fn: A function or `nn.Module`.
        args: Its positional arguments, pytrees of tensors.
        kwargs: Its keyword arguments.
        wrt: As in `auto`.
        batch_dim: As in `auto`.
        memory_budget: As in `auto`.
        create_graph: Whether results can be differentiated again.
        effort: As in `auto`.
        strategies: As in `auto`.
        exclude: As in `auto`.
        rows: As in `auto`.
        columns: As in `auto`.
        has_aux: Whether `fn` returns `(out, aux)`.
        with_value: Whether to return `(value, J)`, as `value_and_jacobian` does.
        randomness: As in `auto`.
        layout: As in `auto`.
        sparsity: As in `auto`.
        verify: As in `auto`.
        triangle: As in `hessian`.
        quantity: What to compute: `"jacobian"`, or as the functions of these names do
            `"hessian"`, `"hessian_diagonal"`, `"laplacian"`.
        compiled: Whether to compile the fastest methods too, and to use what is
            compiled if it is faster. `True` does so now, which takes seconds to a
            minute; `"auto"` beside the calls, once they have taken as long as that is
            expected to. It needs a C++ compiler (on CUDA, Triton), and is compiled anew
            where the function does something else than before.
        calls: How many calls there will be, if known; with `compiled="auto"`, whether
            compiling pays is then known at the first call.
        complex: What to do about complex tensors: `None` refuses them; `"as_real"`
            views them as pairs of real numbers, so that J is `(*out, 2, *in, 2)` where
            the respective side is complex; `"holomorphic"` gives a complex J,
            `(*out, *in)`, of a function that satisfies the Cauchy-Riemann equations.
            These are checked along a random direction (at every call, if `verify`).
        mesh: As in `auto`.
        shard: As in `auto`.
        gather: As in `auto`.
        timeout_s: As in `auto`.

    Returns:
        The plan; `plan(*args)` is the Jacobian, `plan.explain()` says why.

    Raises:
        ArgumentError: `effort` is not known, or an option does not fit the call; or a
            function is not holomorphic.
        JacengineError: As `auto`.
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
        quantity,
        sparsity_option(sparsity),
        verify=verify,
        triangle=triangle,
        complex=complex,
        with_value=with_value,
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
    return plan_here_or_over(mesh, shard, request, gather=gather, timeout_s=timeout_s)
