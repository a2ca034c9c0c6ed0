"""Hessians, their diagonals and traces, and products with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from jacengine.api.mesh import TIMEOUT_S, compute_here_or_over
from jacengine.api.strategies import plan_request
from jacengine.errors import ArgumentError, unknown_choice
from jacengine.linear_operators.hvp import multiply_hessian
from jacengine.patterns.given import sparsity_option
from jacengine.plans.hutchinson import hutchinson
from jacengine.plans.planning import compute
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

    from jacengine.distributed.choose_axis import Shard


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


def hvp(
    fn: Callable[..., Any],
    *args: Any,
    vector: Any,
    kwargs: Mapping[str, Any] | None = None,
    wrt: Wrt = 0,
    batch_dim: BatchDim = None,
    create_graph: bool = False,
    strategies: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    randomness: Randomness = "error",
) -> Any:
    """Multiply a Hessian with a vector, without forming it.

    For many products, or one at each of many points, make an
    `operator(..., quantity="hessian")`, which chooses and verifies its method once.

    Args:
        fn: A function or `nn.Module`.
        args: Its positional arguments, pytrees of tensors.
        vector: Nested and shaped as what is differentiated by: as the argument, as a
            tuple of arguments, or for parameters as a dict by name. With `batch_dim`,
            inputs that have samples have a vector for each.
        kwargs: Its keyword arguments.
        wrt: As in `auto`.
        batch_dim: As in `auto`.
        create_graph: Whether the product can be differentiated.
        strategies: Names of `list_strategies("hessian")`; the first of them that
            pushes and is right is taken.
        exclude: Names to leave out.
        randomness: As in `auto`.

    Returns:
        `H v`: for each output `(*out, *in)`, per sample `(B, *out, *in)`, nested as a
        Jacobian; for a function that returns a number that is a vector like `vector`.

    Raises:
        ArgumentError: `vector` is not of the inputs' structure or shapes.
        JacengineError: As `auto`.

    Examples:
        >>> import torch, jacengine
        >>> x, v = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0])
        >>> jacengine.hvp(lambda x: (x**3).sum(), x, vector=v)
        tensor([ 6., 12.])
    """
    options = Options(
        wrt, batch_dim, create_graph, randomness=randomness, quantity="hessian"
    )
    request = plan_request(
        fn, args, kwargs, options, strategies=strategies, exclude=exclude
    )
    return multiply_hessian(request, vector)
