"""Plans of shards: every rank makes one of its own call, by the same method."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from jacengine.distributed.agreement import (
    Agreement,
    Name,
    agree,
    name_of,
    table_of,
    with_first,
)
from jacengine.distributed.budget import budgets_of, own_budget
from jacengine.distributed.channel import Channel
from jacengine.distributed.choose_axis import Shard, choose_axis
from jacengine.distributed.replica import refuse_large_replica, sharded_parameters
from jacengine.distributed.split import Axis, EntrySplit, SampleSplit, Split
from jacengine.errors import ArgumentError, MemoryBudgetError, ShardError
from jacengine.plans.analysis import analyze_request
from jacengine.plans.plan import Plan
from jacengine.plans.planning import first_plan, make_plan
from jacengine.plans.request import PlanRequest
from jacengine.plans.restore import restore_verified
from jacengine.plans.serialization import describe_options
from jacengine.problem.call_spec import CallSpec, describe_call
from jacengine.problem.problem import Problem
from jacengine.problem.signature import describe_leaves
from jacengine.selection.budget import format_bytes
from jacengine.selection.select import Selection


@dataclass(frozen=True)
class ShardPlan:
    """What a rank computes, and how.

    Attributes:
        split: Which part of the result that is.
        plan: The plan of the rank's own call.
        note: How the method was chosen, in a sentence.
    """

    split: Split
    plan: Plan
    note: str


def describe_request(request: PlanRequest, shard: Shard) -> dict[str, Any]:
    """Tell what is called: ranks have to call the same, and may take some memory.

    Raises:
        ArgumentError: An option is of no use over a mesh, or does not fit the call.
        MemoryBudgetError: A replica of the parameters does not fit.
    """
    options = request.options
    if options.create_graph:
        raise ArgumentError(
            "create_graph=True and mesh= exclude each other: each rank would have the "
            "graph of its shard alone, and gradients of the whole would be parts."
        )
    if options.complex is not None:
        raise ArgumentError(
            f"complex={options.complex!r} and mesh= exclude each other: pass real and "
            "imaginary parts to a function that joins them."
        )
    if options.with_value:
        raise ArgumentError(
            "with_value=True and mesh= exclude each other: call the function for its "
            "value."
        )
    if options.has_aux:
        raise ArgumentError(
            "has_aux=True and mesh= exclude each other: call the function for what it "
            "returns beside its output."
        )
    spec = _spec(request)
    refuse_large_replica(request.fn, request.memory_budget)
    said = (
        describe_options(options),
        describe_leaves(request.leaves),
        request.structure.key,
        spec.names,
        [(leaf.shape, leaf.dtype) for leaf in spec.inputs],
        request.strategies,
        request.effort,
        request.compiled,
        bool(sharded_parameters(request.fn)),
        shard,
    )
    return {
        "call": hashlib.sha256(repr(said).encode()).hexdigest(),
        "budget": own_budget(request.memory_budget, spec.inputs[0].device),
    }


def refuse_differences(told: Sequence[dict[str, Any]], key: str) -> None:
    """Refuse what ranks describe differently.

    Raises:
        ShardError: They do.
    """
    for rank, said in enumerate(told):
        if said[key] != told[0][key]:
            raise ShardError(
                rank,
                "it makes another call than rank 0: arguments of other shapes, another "
                "function, or other options. All ranks have to make the same call.",
            )


def plan_shard(
    channel: Channel,
    request: PlanRequest,
    shard: Shard,
    budgets: Sequence[int],
    *,
    raced: bool,
    gather: bool,
) -> ShardPlan:
    """Make the plan of this rank's shard, by the method that all ranks agree on.

    Args:
        channel: The ranks.
        request: The call of the user.
        shard: Along which axis to split, if that was requested.
        budgets: The bytes that each rank may take.
        raced: Whether all methods are raced, or those that one call pays for.
        gather: Whether every rank will hold the whole result.

    Raises:
        ShardError: It is not possible on some rank.
    """
    split = _agreed_split(channel, request, shard)
    budget = min(budgets)
    args, kwargs = split.own_call(request.args, request.kwargs)
    own = replace(
        request,
        args=args,
        kwargs=kwargs,
        options=split.options,
        memory_budget=budget,
    )

    def chosen() -> Plan | None:
        try:
            plan = make_plan(own) if raced else first_plan(own)
        except MemoryBudgetError:
            if budgets[channel.rank] == budget:
                raise
            return None  # the rank that has least is named
        if gather:
            _refuse_large_whole(plan.problem, channel.size, budget)
        return plan

    def described(plan: Plan | None) -> dict[str, Any] | None:
        if plan is None:
            return None
        return {
            "table": table_of(plan.selection),
            "first": list(name_of(plan.chosen)),
            "pattern": _pattern_of(plan),
        }

    plan, told = channel.agree("choice of a method", chosen, described)
    for rank, said in enumerate(told):
        if said is None:
            raise ShardError(rank, f"no method fits into {budget} bytes")
        if said["pattern"] != told[0]["pattern"]:
            raise ShardError(
                rank,
                "its samples have another sparsity pattern than those of rank 0. Pass "
                "the pattern of all samples as sparsity=.",
            )
    assert plan is not None
    order = [composition.name for composition in request.compositions]
    agreement = agree([said["table"] for said in told], order)
    firsts = {tuple(said["first"]) for said in told}
    plan, name = _agreed_plan(channel, own, plan, agreement, firsts)
    note = (
        f"Split by {split.axis} over {channel.size} ranks, which agreed on {name[0]}; "
        "the table has the times of this rank."
    )
    return ShardPlan(split, plan, note)


def _spec(request: PlanRequest) -> CallSpec:
    options = request.options
    return describe_call(
        request.fn, request.args, request.kwargs, options.wrt, options.batch_dim
    )


def _agreed_split(channel: Channel, request: PlanRequest, shard: Shard) -> Split:
    """Analyze the call, and choose the axis that all ranks can split along.

    Where samples are requested, or likely, some of them are analyzed: all of them may
    not fit into one rank's memory.
    """
    spec, options = _spec(request), request.options
    samples = spec.batch_size
    by_samples = SampleSplit(spec, options, channel.rank, channel.size)
    part = samples is not None and shard in {"auto", "samples"}

    def analyzed() -> tuple[Problem, Axis]:
        looked_at = request
        if part:
            args, kwargs = by_samples.own_call(request.args, request.kwargs)
            looked_at = replace(request, args=args, kwargs=kwargs)
        problem = analyze_request(looked_at)
        return problem, choose_axis(problem, shard, samples or 1, channel.size)

    (problem, _), axes = channel.agree("analysis", analyzed, lambda found: found[1])
    entries = [axis for axis in axes if axis != "samples"]
    if not entries:
        return by_samples
    if part:
        problem, _ = channel.agree(
            "analysis of all samples", lambda: analyze_request(request)
        )
    axis: Literal["rows", "columns"] = "rows" if entries[0] == "rows" else "columns"
    return EntrySplit(problem, axis, channel.rank, channel.size)


def _agreed_plan(
    channel: Channel,
    own: PlanRequest,
    plan: Plan,
    agreement: Agreement,
    firsts: set[tuple[Any, ...]],
) -> tuple[Plan, Name]:
    """Return this rank's plan by the method that is best for all.

    Raises:
        ShardError: No method is right on all ranks.
    """
    if agreement.ranked:
        name = agreement.ranked[0]
        if firsts == {name}:
            return plan, name
        verified, _ = channel.agree(
            "verification of the choice", lambda: _with_choice(own, plan, name)
        )
        return verified, name
    for name in agreement.open:
        found, told = channel.agree(
            f"verification of {name[0]}", functools.partial(_only, own, name), bool
        )
        if all(told):
            assert found is not None
            return found, name
    rank, reason = agreement.blame or (None, "")
    raise ShardError(rank, f"no method is right on all ranks. {reason}".rstrip())


def _with_choice(own: PlanRequest, plan: Plan, name: Name) -> Plan:
    """Return the plan with another choice, which is verified in this process.

    Raises:
        RuntimeError: It is not right here.
    """
    selection = with_first(plan.selection, name)
    if selection is not None and selection.source == "cache":
        selection = _restored(own, plan, selection)
    if selection is None:
        raise RuntimeError(f"{name[0]} is not right, as it was elsewhere")
    return Plan(
        plan.problem,
        selection,
        plan.signature,
        plan.compositions,
        plan.callee,
        compiled=own.compiled,
        calls=own.calls,
    )


def _restored(own: PlanRequest, plan: Plan, selection: Selection) -> Selection | None:
    if name_of(plan.chosen) == name_of(selection.ranked[0]):
        return selection  # it was verified when it was read
    return restore_verified(
        plan.problem, own.callee, own.leaves, selection, selection.budget
    )


def _only(own: PlanRequest, name: Name) -> Plan | None:
    """Make a plan of one strategy; `None` if it is not right."""
    left = [c for c in own.compositions if c.name == name[0]]
    try:
        return make_plan(replace(own, compositions=left), use_cache=False)
    except (RuntimeError, MemoryError):
        return None


def _refuse_large_whole(problem: Problem, ranks: int, budget: int) -> None:
    """Refuse to gather what does not fit: the shards of all ranks, and the whole.

    Raises:
        MemoryBudgetError: It does not.
    """
    needed = 2 * ranks * problem.result_bytes
    if needed > budget:
        raise MemoryBudgetError(
            f"gather=True takes {format_bytes(needed)} on each rank, of "
            f"{format_bytes(budget)}. Leave it out, and reduce what each rank has."
        )


def _pattern_of(plan: Plan) -> str | None:
    """Describe the pattern that a sparse result has; `None` for a dense one."""
    problem = plan.problem
    pattern = problem.stored_pattern
    if pattern is None or problem.options.layout in {"dict", "flat"}:
        return None
    text = repr((pattern.rows.tolist(), pattern.columns.tolist()))
    return hashlib.sha256(text.encode()).hexdigest()


def agreed_budgets(told: Sequence[dict[str, Any]]) -> list[int]:
    """Return the bytes that each rank may take, of what all have told."""
    return budgets_of([said["budget"] for said in told])
