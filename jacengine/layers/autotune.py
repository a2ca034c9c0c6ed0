"""Autotuning: which implementations are the fastest, timed on the layers' own data.

How a convolution is best contracted, and how cotangents are best pulled through the
graph, depends on sizes, operators, the processor and its threads; no rule of thumb
holds for long. What was found is a plain value, which can be saved and applied again.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

import torch
from torch import Tensor, nn

from jacengine._torchfunc import Tensors, Vectorisation
from jacengine.errors import ArgumentError
from jacengine.interface import Point
from jacengine.layers.capture import Captured, captured
from jacengine.layers.contraction import (
    alike,
    contractor,
    ruled_cotangent,
    ruled_input,
)
from jacengine.layers.contraction_plan import ContractionPlan
from jacengine.layers.rule import Contract
from jacengine.timing import seconds

Tuning = tuple[tuple[str, str], ...]
"""Names of implementations in use, by what they are used for; sorted pairs.

`("64:7:encoder.0.weight", "conv_by_groups")` is the function that contracts the block
of a parameter in layer call 7, and `("64:graph", "vmap")` is how many directions are
pulled through the graph at once, both for 64 samples."""

MOST_DIRECTIONS = 8
"""Directions that contractions are timed on; more would hardly change their order.

Vectorisations are timed on all: a loop over directions is the fastest for a few.
"""
MOST_BYTES = 2**26
"""Bytes that a block, or the cotangents, may take meanwhile."""
ROUNDS = 3
"""Times that each implementation is run, the first of them to warm up."""
MOST_ROUNDS, ENOUGH = 8, 0.6
"""Times that vectorisations are run, and seconds after which it is enough."""

_Use = tuple[int, str]
"""The number of a layer call, and the name of a parameter within its unit."""


def tuned(
    point: Point, plan: ContractionPlan, tuning: Tuning, *, timed: bool
) -> tuple[ContractionPlan, Tuning]:
    """Choose the implementations of a plan.

    Args:
        point: An example of the points that the plan is for.
        plan: The plan; what it has in use is the default.
        tuning: What is known already, and applied as it is.
        timed: Whether to time what is not known; else the default is taken.

    Returns:
        The plan, and the tuning with all that is in use in it.

    Raises:
        ArgumentError: The tuning names an implementation that does not exist.
    """
    seen = captured(point, plan) if timed else None
    plan = plan if seen is None else seen.assignment
    uses = _uses(plan, point)
    known = {
        use: _checked(key, name, plan.handlings[use[0]].choices[use[1]])
        for use, key in uses.items()
        if (name := dict(tuning).get(key)) is not None
    }
    graph = f"{point.batch_size}:graph"
    vectorisation = dict(tuning).get(graph)
    if vectorisation is not None:
        _checked(graph, vectorisation, get_args(Vectorisation))
    if seen is not None:
        missing = [use for use in uses if use not in known]
        known |= fastest_implementations(seen, missing, point.batch_size)
    plan = _with_implementations(plan, known)
    if vectorisation in plan.vectorisations:
        first = sorted(plan.vectorisations, key=lambda v: v != vectorisation)
        plan = replace(plan, vectorisations=tuple(first))
    elif seen is not None:
        seen = replace(seen, assignment=plan)
        ordered = fastest_vectorisations(seen, point.batch_size)
        plan = replace(plan, vectorisations=ordered)
    return plan, merged(tuning, tuning_of(plan, point))


def tuning_of(plan: ContractionPlan, point: Point) -> Tuning:
    """Return what is in use in a plan."""
    used = {
        key: plan.handlings[call].implementation_name(name)
        for (call, name), key in _uses(plan, point).items()
    }
    used[f"{point.batch_size}:graph"] = plan.vectorisations[0]
    return tuple(sorted(used.items()))


def merged(*tunings: Tuning) -> Tuning:
    """Merge tunings; later ones replace earlier ones."""
    pairs = {key: name for tuning in tunings for key, name in tuning}
    return tuple(sorted(pairs.items()))


def _uses(plan: ContractionPlan, point: Point) -> dict[_Use, str]:
    """List what has several implementations, with its key in a tuning."""
    return {
        (call, name): f"{point.batch_size}:{call}:{point.names[index]}"
        for call, handling in enumerate(plan.handlings)
        for index, name in handling.unit.parameters
        if name in handling.choices
    }


def _checked(key: str, name: str, options: Sequence[str]) -> str:
    if name not in options:
        raise ArgumentError(
            f"The tuning names the implementation {name!r} for {key!r}, which does not "
            f"exist; expected one of {', '.join(options)}."
        )
    return name


def _with_implementations(
    plan: ContractionPlan, chosen: Mapping[_Use, str]
) -> ContractionPlan:
    by_call: dict[int, dict[str, str]] = {}
    for (call, parameter), name in chosen.items():
        by_call.setdefault(call, {})[parameter] = name
    handlings = list(plan.handlings)
    for call, names in by_call.items():
        used = {**dict(handlings[call].implementations), **names}
        handlings[call] = replace(handlings[call], implementations=tuple(used.items()))
    return replace(plan, handlings=tuple(handlings))


def fastest_implementations(
    seen: Captured, uses: Sequence[_Use], batch_size: int | None
) -> dict[_Use, str]:
    """Time the implementations of contractions; return the names of the fastest.

    Args:
        seen: A forward pass.
        uses: What to time.
        batch_size: The number of samples to keep apart, or `None`.
    """
    if not uses:
        return {}
    seen = replace(seen, create_graph=False)
    arriving = seen.arriving(
        _seeds(seen, batch_size, MOST_DIRECTIONS, _widest_block(seen, batch_size))
    )
    fastest: dict[_Use, str] = {}
    for call, parameter in uses:
        rule, cotangent = seen.assignment.handlings[call].rule, arriving[call][0]
        if rule is not None and cotangent is not None:
            x, g = ruled_input(seen, call), ruled_cotangent(seen, call, cotangent)
            options = rule.form(parameter).by_name
            fastest[call, parameter] = _fastest(options, seen.visits[call].module, x, g)
    return fastest


def _fastest(
    options: Mapping[str, Contract], module: nn.Module, x: Tensor, g: Tensor
) -> str:
    """Time implementations in interleaved rounds."""
    block = next(iter(options.values()))(module, x, g, None)
    best = dict.fromkeys(options, math.inf)
    for round_number in range(ROUNDS):
        for name, implementation in options.items():
            run = functools.partial(implementation, module, x, g, block)
            taken = seconds(run, g.device)
            if round_number:
                best[name] = min(best[name], taken)
    return min(best, key=best.__getitem__)


def fastest_vectorisations(
    seen: Captured, batch_size: int | None
) -> tuple[Vectorisation, ...]:
    """Order the vectorisations that work on a graph, the fastest first.

    Contractions count too: in which order a vectorisation leaves directions and samples
    in memory decides whether they copy.
    """
    seen = replace(seen, create_graph=False)
    known = seen.assignment.vectorisations
    size = seen.outputs[0].element_size()
    made = sum(math.prod(shape) for visit in seen.visits for shape in visit.shapes)
    each = max(_widest_block(seen, batch_size), made * size)
    seeds = _seeds(seen, batch_size, None, each)
    if seeds[0].shape[0] == 1:
        return known
    contractors = [
        (members, contractor(seen, members, batch_size))
        for members in alike(seen)
        if seen.assignment.handlings[members[0]].rule is not None
    ]
    lead = (seeds[0].shape[0], batch_size or 1)
    blocks = [(*lead, *primal.shape) for primal in seen.primals]
    # The same pages every time: fresh ones take longer than what is to be told apart.
    scratch = seeds[0].new_empty(max(map(math.prod, blocks)))

    def run(vectorisation: Vectorisation) -> None:
        arriving = seen.arriving(seeds, vectorisation)
        for members, contract in contractors:
            pieces = contract([arriving[i] for i in members])
            for index, piece in pieces.items():
                shape = blocks[index]
                piece(scratch[: math.prod(shape)].view(shape))

    best = dict.fromkeys(known, math.inf)
    for round_number in range(MOST_ROUNDS):
        for vectorisation in known:
            taken = seconds(functools.partial(run, vectorisation), seeds[0].device)
            if round_number:
                best[vectorisation] = min(best[vectorisation], taken)
        if round_number >= ROUNDS and sum(best.values()) * round_number > ENOUGH:
            break
    return tuple(sorted(known, key=best.__getitem__))


def _widest_block(seen: Captured, batch_size: int | None) -> int:
    """Return the bytes of the largest block of one direction."""
    widest = max(p.numel() * p.element_size() for p in seen.primals)
    return widest * (batch_size or 1)


def _seeds(
    seen: Captured, batch_size: int | None, most: int | None, bytes_each: int
) -> Tensors:
    """Return cotangents of ones, of all directions or as many as memory allows."""
    entries = sum(o.numel() for o in seen.outputs) // (batch_size or 1)
    allowed = MOST_BYTES // max(1, bytes_each)
    count = max(1, min(entries, most or entries, allowed))
    return tuple(torch.ones_like(o).expand(count, *o.shape) for o in seen.outputs)
