"""Plans from files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jacengine.api.builtin_registry import known_strategies
from jacengine.errors import PlanMismatchError
from jacengine.plans.plan import Plan
from jacengine.plans.planning import restore_verified
from jacengine.plans.serialization import describe_options, from_json, read_key
from jacengine.problem.analyze import analyze
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.call_spec import Wrt
from jacengine.problem.problem import LayoutOption, Options, Randomness, Selection
from jacengine.problem.quantity import Quantity
from jacengine.problem.signature import Signature
from jacengine.selection.budget import to_bytes


def load_plan(
    path: str | Path,
    fn: Callable[..., Any],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    wrt: Wrt = 0,
    batch_dim: BatchDim = None,
    create_graph: bool = False,
    rows: Selection = None,
    columns: Selection = None,
    has_aux: bool = False,
    randomness: Randomness = "error",
    layout: LayoutOption = "dict",
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
        quantity: As in `plan`.

    Returns:
        The plan, without a selection.

    Raises:
        ArgumentError: The file is damaged, or holds a strategy that is not registered.
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
    )
    text = Path(path).read_text(encoding="utf-8")
    strategies = known_strategies().choose(None, (), quantity)
    saved = from_json(text, strategies)
    made, asked = read_key(text), describe_options(options)
    if made != asked:
        raise PlanMismatchError(f"{path} was made with {made}, not with {asked}.")
    given = kwargs or {}
    problem = analyze(fn, args, given, options)
    budget = to_bytes(None, problem.outputs[0].device)
    revived = (
        restore_verified(problem, args, given, saved, budget) if saved.ranked else None
    )
    if revived is None:
        raise PlanMismatchError(
            f"The method in {path} does not compute this {problem.title} rightly "
            "within the memory that is free. Make a plan anew: jacengine.plan(...)."
        )
    signature = Signature.of(fn, args, given, problem.layout.names)
    return Plan(problem, revived, signature, strategies)
