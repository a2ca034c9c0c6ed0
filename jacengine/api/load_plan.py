"""`load_plan`: a choice that was made before, read from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import EllipsisType
from typing import Any

from jacengine._files import read_file
from jacengine.api.strategies import plan_request
from jacengine.errors import ArgumentError, PlanMismatchError
from jacengine.patterns.given import sparsity_option
from jacengine.plans.analysis import analyze_request
from jacengine.plans.complex_result import require_holomorphic
from jacengine.plans.plan import Plan
from jacengine.plans.restore import restore_verified
from jacengine.plans.serialization import (
    LARGEST,
    from_json,
    read_options,
)
from jacengine.plans.sparse import with_pattern
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.call_spec import Wrt
from jacengine.problem.problem import (
    ComplexOption,
    Entries,
    LayoutOption,
    Randomness,
    Triangle,
)
from jacengine.problem.quantity import Quantity
from jacengine.problem.signature import Signature
from jacengine.selection.budget import to_bytes
from jacengine.selection.finite_differences import warn_of


def load_plan(
    path: str | Path,
    fn: Callable[..., Any],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    wrt: Wrt | EllipsisType = ...,
    batch_dim: BatchDim | EllipsisType = ...,
    create_graph: bool | EllipsisType = ...,
    rows: Entries | EllipsisType = ...,
    columns: Entries | EllipsisType = ...,
    has_aux: bool | EllipsisType = ...,
    with_value: bool | EllipsisType = ...,
    randomness: Randomness | EllipsisType = ...,
    layout: LayoutOption | EllipsisType = ...,
    sparsity: Any = ...,
    verify: bool | EllipsisType = ...,
    triangle: Triangle | EllipsisType = ...,
    quantity: Quantity | EllipsisType = ...,
    complex: ComplexOption | EllipsisType = ...,
) -> Plan:
    """Bind a choice that `Plan.save` wrote to a function, after one verification.

    The file says what the options are. Those that are passed, too, have to agree.

    Args:
        path: The file.
        fn: The function or module that the plan is for.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        wrt: As when the plan was made, like all further options; `...`, the default,
            for what the file says.
        batch_dim: As in `auto`.
        create_graph: As in `auto`.
        rows: As in `auto`.
        columns: As in `auto`.
        has_aux: As in `auto`.
        with_value: As in `plan`.
        randomness: As in `auto`.
        layout: As in `auto`.
        sparsity: As in `auto`. A pattern is not in the file: pass it again.
        verify: As in `auto`.
        triangle: As in `hessian`.
        quantity: As in `plan`.
        complex: As in `plan`.

    Returns:
        The plan, without a selection.

    Raises:
        ArgumentError: The file is damaged, or holds a strategy that is not registered;
            or a function is not holomorphic.
        OSError: It cannot be read.
        PlanMismatchError: It was made with another option, which is named, or its
            method is not right for this function.
    """
    stated = {
        "wrt": wrt,
        "batch_dim": batch_dim,
        "create_graph": create_graph,
        "rows": rows,
        "columns": columns,
        "has_aux": has_aux,
        "with_value": with_value,
        "randomness": randomness,
        "layout": layout,
        "sparsity": sparsity if sparsity is ... else sparsity_option(sparsity),
        "verify": verify,
        "triangle": triangle,
        "quantity": quantity,
        "complex": complex,
    }
    given = {name: value for name, value in stated.items() if value is not ...}
    try:
        text = read_file(Path(path), LARGEST)
        request = plan_request(fn, args, kwargs, read_options(text, given))
        saved = from_json(text, request.compositions)
    except (ArgumentError, UnicodeDecodeError) as error:
        raise ArgumentError(f"{path}: {error}") from error
    except PlanMismatchError as error:
        raise PlanMismatchError(f"{path} {error}") from None
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
    warn_of(restored.doubt, problem.title, reached=restored.reached)
    if request.options.complex == "holomorphic":
        require_holomorphic(request)
    names = problem.call_spec.names
    signature = Signature.of(request.callee, request.args, request.kwargs, names)
    return Plan(problem, restored, signature, request.compositions, request.callee)
