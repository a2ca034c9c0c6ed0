"""From one forward pass, with its layer calls, to the blocks of their parameters."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors, Vectorisation
from jacengine.interface import Point
from jacengine.layers.autograd_graph import vjp_at_edges
from jacengine.layers.contraction_plan import ContractionPlan, make_plan, run_captured
from jacengine.layers.hook_capture import LayerCall
from jacengine.layers.per_sample_rerun import make_rerun, pull_each

BlockWriter = Callable[[Tensor | None], Tensor]
"""Writes one contribution to a block `(K, S, *param)` into a tensor, or returns it."""

CallCotangents = Sequence[Tensor | None]
"""The cotangents of the outputs of one call, `(K, *output)` each."""

Contractor = Callable[[Sequence[CallCotangents]], dict[int, BlockWriter]]
"""From the cotangents of some calls to contributions, by parameter."""


@dataclass(frozen=True)
class CapturedPass:
    """A forward pass of a module, and the plan by which its calls are contracted.

    The primals are the parameters, as its graph has them. With `create_graph` what is
    derived from it must be differentiable in turn.
    """

    plan: ContractionPlan
    calls: tuple[LayerCall, ...]
    outputs: Tensors
    primals: Tensors
    create_graph: bool

    def output_cotangents(
        self, seeds: Tensors, vectorisation: Vectorisation | None = None
    ) -> list[list[Tensor | None]]:
        """Pull cotangents `(K, *output)` back to the outputs of each call."""
        cotangents = vjp_at_edges(
            self.outputs,
            [edge for call in self.calls for edge in call.edges],
            seeds,
            vectorisation=vectorisation or self.plan.vectorisations[0],
            create_graph=self.create_graph,
        )
        found = iter(cotangents)
        return [[next(found) for _ in call.edges] for call in self.calls]


def capture_pass(point: Point, known: ContractionPlan | None) -> CapturedPass:
    """Run a module once and capture its layer calls.

    Args:
        point: The module and its parameters.
        known: The plan of other points of the same signature, if there is one.

    Raises:
        RuntimeError: Every forward pass calls other layers.
    """
    plan = known or make_plan(point)
    run = run_captured(point, plan.units, plan.graph_parameters)
    primals, outputs, calls, missed = run
    if plan.matches(outputs, calls, missed):
        return CapturedPass(plan, tuple(calls), outputs, primals, point.create_graph)
    if known is None:
        raise RuntimeError("every forward pass calls other layers")
    # The module takes another branch at this point than at those before.
    return capture_pass(point, None)


def group_calls(captured: CapturedPass) -> list[tuple[int, ...]]:
    """Group the calls that are one contraction: those of one layer, by its rule.

    Their positions are contracted together, so that J is written once however often a
    layer is called.
    """
    if len({id(call.unit) for call in captured.calls}) == len(captured.calls):
        return [(i,) for i in range(len(captured.calls))]
    groups: dict[tuple[object, ...], list[int]] = {}
    pairs = zip(captured.calls, captured.plan.contractions, strict=True)
    for i, (call, contraction) in enumerate(pairs):
        key: tuple[object, ...] = (i,)
        if contraction.rule is not None:
            x, g = call.tensors[0].shape, call.shapes[0]
            own_in = contraction.rule.axes_in(call.module, len(x))
            own_out = contraction.rule.axes_out(call.module, len(g))
            key = (call.unit, x[len(x) - own_in :], g[len(g) - own_out :])
        groups.setdefault(key, []).append(i)
    return [tuple(group) for group in groups.values()]


def contractor(captured: CapturedPass, members: Sequence[int]) -> Contractor:
    """Make the contractor of calls, by number, that are one contraction.

    Raises:
        RuntimeError: An argument of a call was overwritten since, so its value is lost.
    """
    for call in (captured.calls[i] for i in members):
        if not call.inputs_unchanged:
            raise RuntimeError(
                f"an input of {type(call.module).__name__} {call.unit.path!r} is "
                "overwritten in place after the layer has read it"
            )
    if captured.plan.contractions[members[0]].rule is not None:
        return _by_rule(captured, members)
    return _by_rerun(captured, members[0])


def _by_rerun(captured: CapturedPass, member: int) -> Contractor:
    call = captured.calls[member]
    split = captured.plan.contractions[member].split
    assert split is not None
    create_graph = captured.create_graph
    primals = [captured.primals[index] for index, _ in call.unit.parameters]
    own = tuple(p if create_graph else p.detach().requires_grad_() for p in primals)
    again = make_rerun(call, split, create_graph=create_graph)

    def contract(cotangents: Sequence[CallCotangents]) -> dict[int, BlockWriter]:
        seeds = {
            i: g.movedim(split.outputs[i] + 1, 1)
            for i, g in enumerate(cotangents[0])
            if g is not None
        }
        if not seeds:
            return {}
        _, found = again(own, seeds)
        return {
            index: constant_block(block)
            for (index, _), block in zip(call.unit.parameters, found, strict=True)
        }

    return contract


def _by_rule(captured: CapturedPass, members: Sequence[int]) -> Contractor:
    contraction = captured.plan.contractions[members[0]]
    unit, module = contraction.unit, captured.calls[members[0]].module
    inputs = [rule_input(captured, i) for i in members]

    def contract(cotangents: Sequence[CallCotangents]) -> dict[int, BlockWriter]:
        # Calls that do not reach the outputs have no cotangent.
        reached = [
            (x, rule_cotangent(captured, i, cotangent))
            for i, x, (cotangent,) in zip(members, inputs, cotangents, strict=True)
            if cotangent is not None
        ]
        if not reached:
            return {}
        x, g = reached[0]
        if len(reached) > 1:
            x = torch.cat([x for x, _ in reached], dim=1)
            g = torch.cat([g for _, g in reached], dim=2)

        def writer(name: str) -> BlockWriter:
            implementation = contraction.implementation(name)

            def write(out: Tensor | None) -> Tensor:
                into = None if out is None else out.transpose(0, 1)
                return implementation(module, x, g, into).transpose(0, 1)

            view = unit.view
            return write if view is None else functools.partial(view.scatter, write)

        return {index: writer(name) for index, name in unit.parameters}

    return contract


def rule_input(captured: CapturedPass, member: int) -> Tensor:
    """Return the input of a call as rules take it, `(s, n, *own)`."""
    call, contraction = captured.calls[member], captured.plan.contractions[member]
    x = call.tensors[0] if captured.create_graph else call.tensors[0].detach()
    assert contraction.rule
    assert contraction.sample_axis
    own = contraction.rule.axes_in(call.module, x.dim())
    return contraction.sample_axis.samples_first(x, own)


def rule_cotangent(captured: CapturedPass, member: int, cotangent: Tensor) -> Tensor:
    """Return the cotangents `(K, *output)` of a call, `(s, k, n, *own)`."""
    call, contraction = captured.calls[member], captured.plan.contractions[member]
    assert contraction.rule
    assert contraction.sample_axis
    own = contraction.rule.axes_out(call.module, len(call.shapes[0]))
    front = contraction.sample_axis.samples_first(cotangent, own, skip=1)
    return front.transpose(0, 1)


def constant_block(block: Tensor) -> BlockWriter:
    """Return the writer of a block that is computed already."""
    return lambda out: block if out is None else out.copy_(block)


def per_sample_vjp(
    outputs: Tensors,
    primal: Tensor,
    seeds: Tensors,
    batch_size: int | None,
    *,
    create_graph: bool,
) -> Tensor:
    """Pull cotangents back to one parameter, one sample at a time: `(K, S, *param)`."""
    count = seeds[0].shape[0]
    if batch_size is not None:
        seeds = tuple(_one_sample_each(seed, batch_size) for seed in seeds)
    (found,) = pull_each(outputs, (primal,), seeds, create_graph=create_graph)
    by_sample: Tensor = found.unflatten(0, (count, -1))
    return by_sample


def _one_sample_each(seed: Tensor, batch_size: int) -> Tensor:
    """Turn cotangents `(K, B, ...)` into `(K * B, B, ...)`, one a sample."""
    eye = torch.eye(batch_size, dtype=seed.dtype, device=seed.device)
    eye = eye.view(1, batch_size, batch_size, *[1] * (seed.dim() - 2))
    return (seed.unsqueeze(1) * eye).flatten(0, 1)
