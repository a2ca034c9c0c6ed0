"""`plan` chooses a method once; `load_plan` reads a choice from a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jacengine._files import read_file
from jacengine.api.mesh import TIMEOUT_S, plan_here_or_over
from jacengine.api.strategies import plan_request
from jacengine.errors import ArgumentError, PlanMismatchError
from jacengine.patterns.given import sparsity_option
from jacengine.plans.analysis import analyze_request
from jacengine.plans.plan import Plan
from jacengine.plans.restore import restore_verified
from jacengine.plans.serialization import (
    LARGEST,
    describe_options,
    from_json,
    read_key,
)
from jacengine.plans.sparse import with_pattern
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.call_spec import Wrt
from jacengine.problem.problem import (
    Entries,
    LayoutOption,
    Options,
    Randomness,
    Triangle,
)
from jacengine.problem.quantity import Quantity
from jacengine.problem.signature import Signature
from jacengine.selection.budget import Budget, to_bytes
from jacengine.selection.effort import Compiled, Effort
from jacengine.selection.finite_differences import warn_of

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

    from jacengine.distributed.choose_axis import Shard


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
    randomness: Randomness = "error",
    layout: LayoutOption = "dict",
    sparsity: Any = "auto",
    verify: bool = True,
    triangle: Triangle = None,
    quantity: Quantity = "jacobian",
    compiled: Compiled = "auto",
    calls: int | None = None,
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
        wrt: What to differentiate: an argument index, a tuple of them, `"inputs"`,
            `"params"`, or a list of parameter names.
        batch_dim: `None` for the Jacobian of everything, `0` (or a tuple with one entry
            an argument, as vmap's `in_dims`) if `fn` maps independent samples to
            outputs with samples along axis 0.
        memory_budget: As in `auto`.
        create_graph: Whether results can be differentiated again.
        effort: As in `auto`.
        strategies: As in `auto`.
        exclude: As in `auto`.
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
        mesh: As in `auto`.
        shard: As in `auto`.
        gather: As in `auto`.
        timeout_s: As in `auto`.

    Returns:
        The plan; `plan(*args)` is the Jacobian, `plan.explain()` says why.

    Raises:
        ArgumentError: `effort` is not known, or an option does not fit the call.
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


def load_plan(
    path: str | Path,
    fn: Callable[..., Any],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    wrt: Wrt = 0,
    batch_dim: BatchDim = None,
    create_graph: bool = False,
    rows: Entries = None,
    columns: Entries = None,
    has_aux: bool = False,
    randomness: Randomness = "error",
    layout: LayoutOption = "dict",
    sparsity: Any = "auto",
    verify: bool = True,
    triangle: Triangle = None,
    quantity: Quantity = "jacobian",
) -> Plan:
    """Bind a choice that `Plan.save` wrote to a function, after one verification.

    Args:
        path: The file.
        fn: The function or module that the plan is for.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        wrt: As when the plan was made, like all further options.
        batch_dim: As in `auto`.
        create_graph: As in `auto`.
        rows: As in `auto`.
        columns: As in `auto`.
        has_aux: As in `auto`.
        randomness: As in `auto`.
        layout: As in `auto`.
        sparsity: As in `auto`.
        verify: As in `auto`.
        triangle: As in `hessian`.
        quantity: As in `plan`.

    Returns:
        The plan, without a selection.

    Raises:
        ArgumentError: The file is damaged, or holds a strategy that is not registered.
        OSError: It cannot be read.
        PlanMismatchError: It was made with other options, or its method is not right
            for this function.
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
    )
    request = plan_request(fn, args, kwargs, options)
    try:
        text = read_file(Path(path), LARGEST)
        saved = from_json(text, request.compositions)
    except (ArgumentError, UnicodeDecodeError) as error:
        raise ArgumentError(f"{path}: {error}") from error
    saved_options, own = read_key(text), describe_options(options)
    if saved_options != own:
        raise PlanMismatchError(
            f"{path} was made with {saved_options}, not with {own}."
        )
    problem = with_pattern(analyze_request(request), request)
    budget = to_bytes(None, problem.outputs[0].device)
    restored = None
    if saved.ranked:
        restored = restore_verified(
            problem, request.callee, request.leaves, saved, budget
        )
    if restored is None:
        raise PlanMismatchError(
            f"The method in {path} does not compute this {problem.title} rightly "
            "within the memory that is free. Make a plan anew: jacengine.plan(...)."
        )
    warn_of(restored.doubt, problem.title)
    names = problem.call_spec.names
    signature = Signature.of(request.callee, args, request.kwargs, names)
    return Plan(problem, restored, signature, request.compositions, request.callee)
