"""Every candidate timed to its end, as a table or a data frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jacengine.api.strategies import plan_request
from jacengine.plans.plan import Plan
from jacengine.plans.planning import make_plan
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.call_spec import Wrt
from jacengine.problem.problem import Entries, LayoutOption, Options, Randomness
from jacengine.problem.quantity import Quantity
from jacengine.selection.budget import Budget
from jacengine.selection.explain_html import as_html

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Benchmark:
    """Every candidate, timed on one call.

    Attributes:
        plan: The plan that the figures lead to.
    """

    plan: Plan

    def to_frame(self) -> pd.DataFrame:
        """Return one row a candidate, the fastest right one first."""
        return self.plan.to_frame()

    def _repr_html_(self) -> str:
        """Show the table in a notebook."""
        return as_html(self.plan.problem, self.plan.selection)

    def __str__(self) -> str:
        """Draw the table."""
        return self.plan.explain()


def benchmark(
    fn: Callable[..., Any],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    wrt: Wrt = 0,
    batch_dim: BatchDim = None,
    memory_budget: Budget = None,
    create_graph: bool = False,
    strategies: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    rows: Entries = None,
    columns: Entries = None,
    has_aux: bool = False,
    randomness: Randomness = "error",
    layout: LayoutOption = "dict",
    quantity: Quantity = "jacobian",
) -> Benchmark:
    """Verify and time every candidate to its end.

    Args:
        fn: A function or `nn.Module`.
        args: Its positional arguments, pytrees of tensors.
        kwargs: Its keyword arguments.
        wrt: As in `auto`.
        batch_dim: As in `auto`.
        memory_budget: As in `auto`; what is predicted to exceed it is not run.
        create_graph: Whether results can be differentiated again.
        strategies: As in `auto`.
        exclude: As in `auto`.
        rows: As in `auto`.
        columns: As in `auto`.
        has_aux: Whether `fn` returns `(out, aux)`.
        randomness: As in `auto`.
        layout: As in `auto`.
        quantity: As in `plan`.

    Returns:
        The figures: `print` them, or `.to_frame()`.

    Raises:
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
    )
    request = plan_request(
        fn,
        args,
        kwargs,
        options,
        strategies=strategies,
        exclude=exclude,
        memory_budget=memory_budget,
        effort="thorough",
    )
    return Benchmark(make_plan(request, use_cache=False))
