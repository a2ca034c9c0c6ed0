"""Laplacians, exact or estimated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from torch import Tensor

from jacengine.api.strategies import plan_request
from jacengine.errors import ArgumentError, unknown_choice
from jacengine.plans.hutchinson import Estimate, hutchinson
from jacengine.plans.planning import compute
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.call_spec import Wrt
from jacengine.problem.problem import (
    Entries,
    Options,
    Randomness,
)
from jacengine.selection.budget import Budget
from jacengine.selection.effort import Compiled, Effort

if TYPE_CHECKING:
    from jacengine.api.function_types import (
        Function,
        TensorFunction,
        TensorModule,
        Undetermined,
        UntypedFunction,
        UntypedModule,
    )
    from jacengine.api.option_types import (
        AllLaplacianOptions,
        LaplacianOptions,
    )


@overload
def laplacian(
    fn: Function, *args: Any, wrt: Undetermined, **options: Unpack[AllLaplacianOptions]
) -> Any: ...


@overload
def laplacian(
    fn: Function,
    *args: Any,
    method: Literal["hutchinson"],
    wrt: Wrt = 0,
    **options: Unpack[LaplacianOptions],
) -> Estimate: ...


@overload
def laplacian(
    fn: Function,
    *args: Any,
    has_aux: Literal[True],
    method: Literal["exact"] = "exact",
    wrt: Wrt = 0,
    **options: Unpack[LaplacianOptions],
) -> tuple[Any, Any]: ...


@overload
def laplacian(
    fn: UntypedModule, *args: Any, wrt: Wrt = 0, **options: Unpack[AllLaplacianOptions]
) -> Any: ...


@overload
def laplacian(
    fn: TensorModule,
    *args: Any,
    method: Literal["exact"] = "exact",
    wrt: Wrt = 0,
    **options: Unpack[LaplacianOptions],
) -> Tensor: ...


@overload
def laplacian(
    fn: UntypedFunction,
    *args: Any,
    wrt: Wrt = 0,
    **options: Unpack[AllLaplacianOptions],
) -> Any: ...


@overload
def laplacian(
    fn: TensorFunction,
    *args: Any,
    method: Literal["exact"] = "exact",
    wrt: Wrt = 0,
    **options: Unpack[LaplacianOptions],
) -> Tensor: ...


@overload
def laplacian(
    fn: Function, *args: Any, wrt: Wrt = 0, **options: Unpack[AllLaplacianOptions]
) -> Any: ...


def laplacian(
    fn: Callable[..., Any],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    wrt: Wrt = 0,
    batch_dim: BatchDim = 0,
    memory_budget: Budget = None,
    out: Any = None,
    create_graph: bool = False,
    effort: Effort = "quick",
    strategies: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    columns: Entries = None,
    has_aux: bool = False,
    randomness: Randomness = "error",
    compiled: Compiled = "auto",
    calls: int | None = None,
    method: Literal["exact", "hutchinson"] = "exact",
    probes: int = 32,
    seed: int = 0,
) -> Any:
    """Compute the Laplacian, the trace of the Hessian, exactly and without forming it.

    By sums of vectorised Hessian-vector products, or by propagating value, tangents and
    Laplacian forward in one pass; raced and verified as the methods of `auto` are.

    Args:
        fn: A function or `nn.Module`.
        args: Its positional arguments, pytrees of tensors.
        kwargs: Its keyword arguments.
        wrt: What to differentiate by, twice; as in `auto`. Of several inputs, or of
            parameters, all entries are summed over.
        batch_dim: As in `auto`, but 0 by default: `fn` maps samples to samples.
        memory_budget: As in `auto`.
        out: As in `auto`.
        create_graph: Whether the result can be differentiated again, as losses of
            physics-informed networks are.
        effort: As in `auto`.
        strategies: Names of `list_strategies("laplacian")`; all by default.
        exclude: Names to leave out.
        columns: Sum over these input entries (of one sample, flattened) alone: those of
            space, for instance, and not that of time.
        has_aux: Whether `fn` returns `(out, aux)`.
        randomness: As in `auto`.
        compiled: As in `auto`; products for an estimate are never compiled.
        calls: As in `auto`.
        method: `"hutchinson"` estimates it instead, from products with random signs;
            for inputs so large that one product an entry is too many.
        probes: Random directions of an estimate.
        seed: What they are drawn with.

    Returns:
        `(B, *out)`, without `batch_dim` `(*out)`; with `has_aux`, `(laplacian, aux)`.
        By `method="hutchinson"` an `Estimate`: such a value, and its standard error.

    Raises:
        ArgumentError: An option does not fit the method.
        JacengineError: As `auto`.

    Examples:
        >>> import torch, jacengine
        >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> jacengine.laplacian(lambda x: (x**2).sum(dim=1), x)
        tensor([4., 4.])
    """
    known = ("exact", "hutchinson")
    if method not in known:
        raise ArgumentError(unknown_choice("method", method, known))
    options = Options(
        wrt,
        batch_dim,
        create_graph,
        None,
        columns,
        has_aux,
        randomness,
        quantity="laplacian",
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
    if method == "hutchinson":
        if out is not None or has_aux:
            raise ArgumentError("method='hutchinson' takes neither out= nor has_aux=.")
        return hutchinson(request, probes=probes, seed=seed)
    return compute(request, out)
