"""What is the fastest here: timed on the layers' own data.

How a convolution is best contracted, and how cotangents are best pulled through the
graph, depends on sizes, operators, the processor and its threads; no rule of thumb
holds for long.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from jacengine._torchfunc import Tensors, Vectorisation
from jacengine.layers.call_contraction import CallContraction
from jacengine.layers.capture import Captured
from jacengine.layers.contraction import (
    alike,
    contractor,
    ruled_cotangent,
    ruled_input,
)
from jacengine.layers.contraction_plan import Assignment
from jacengine.layers.hook_capture import LayerCall
from jacengine.layers.rule import Contract
from jacengine.timing import seconds

MOST_DIRECTIONS = 8
"""Directions that ways to a block are timed on; more would hardly change their order.

Ways through the graph are timed on all: one that loops over directions is the fastest
for a few.
"""
MOST_BYTES = 2**26
"""Bytes that a block, or the cotangents, may take meanwhile."""
ROUNDS = 3
"""Times that each way is run, the first of them to warm up."""
MOST_ROUNDS, ENOUGH = 8, 0.6
"""Times that ways through the graph are run, and seconds after which it is enough."""


def with_fastest(seen: Captured, batch_size: int | None) -> Assignment:
    """Time the ways there are to blocks and through the graph; take the fastest.

    Args:
        seen: A forward pass.
        batch_size: The number of samples to keep apart, or `None`.
    """
    seen = replace(seen, create_graph=False)
    assignment, outputs = seen.assignment, seen.outputs
    pairs = list(zip(assignment.handlings, seen.visits, strict=True))
    entries = sum(o.numel() for o in outputs) // (batch_size or 1)

    def seeds(most: int, bytes_each: int) -> Tensors:
        count = max(1, min(entries, most, MOST_BYTES // max(1, bytes_each)))
        return tuple(torch.ones_like(o).expand(count, *o.shape) for o in outputs)

    widest = max(p.numel() * p.element_size() for p in seen.primals)
    block = widest * (batch_size or 1)
    arriving = seen.arriving(seeds(MOST_DIRECTIONS, block))
    handlings: list[CallContraction] = []
    for i, ((handling, visit), here) in enumerate(zip(pairs, arriving, strict=True)):
        names = _choices(handling, visit)
        if names and here[0] is not None:
            x, g = ruled_input(seen, i), ruled_cotangent(seen, i, here[0])
            assert handling.rule is not None
            ways = tuple(
                (name, _fastest(handling.rule.form(name).ways, visit.module, x, g))
                for name in names
            )
            handlings.append(replace(handling, ways=ways))
        else:
            handlings.append(handling)
    assignment = replace(assignment, handlings=tuple(handlings))
    size = outputs[0].element_size()
    made = sum(math.prod(shape) for visit in seen.visits for shape in visit.shapes)
    through = seeds(entries, max(block, made * size))
    if through[0].shape[0] == 1:
        return assignment
    chosen = replace(seen, assignment=assignment)
    return replace(assignment, vectorisations=_ordered(chosen, through, batch_size))


def _ordered(
    seen: Captured, seeds: Tensors, batch_size: int | None
) -> tuple[Vectorisation, ...]:
    """Order the ways through the graph, the fastest first.

    Contractions count too: in which order a way leaves directions and samples in memory
    decides whether they copy.
    """
    contractors = [
        (members, contractor(seen, members, batch_size))
        for members in alike(seen)
        if seen.assignment.handlings[members[0]].rule is not None
    ]

    lead = (seeds[0].shape[0], batch_size or 1)
    blocks = [(*lead, *primal.shape) for primal in seen.primals]
    # The same pages every time: fresh ones take longer than what is to be told apart.
    scratch = seeds[0].new_empty(max(map(math.prod, blocks)))

    def run(how: Vectorisation) -> None:
        arriving = seen.arriving(seeds, how)
        for members, contract in contractors:
            pieces = contract([arriving[i] for i in members])
            for index, piece in pieces.items():
                shape = blocks[index]
                piece(scratch[: math.prod(shape)].view(shape))

    known = seen.assignment.vectorisations
    best = dict.fromkeys(known, float("inf"))
    for round_number in range(MOST_ROUNDS):
        for how in known:
            taken = seconds(functools.partial(run, how), seeds[0].device)
            if round_number:
                best[how] = min(best[how], taken)
        if round_number >= ROUNDS and sum(best.values()) * round_number > ENOUGH:
            break
    return tuple(sorted(known, key=best.__getitem__))


def _choices(handling: CallContraction, visit: LayerCall) -> list[str]:
    """List the parameters of a call that there are several ways to."""
    rule = handling.rule
    if rule is None:
        return []
    names = [name for _, name in visit.unit.parameters]
    return [name for name in names if len(rule.form(name).ways) > 1]


def _fastest(ways: Sequence[Contract], module: nn.Module, x: Tensor, g: Tensor) -> int:
    """Time ways in interleaved rounds; return the number of the fastest."""
    block = ways[0](module, x, g, None)
    best = [float("inf")] * len(ways)
    for round_number in range(ROUNDS):
        for i, way in enumerate(ways):
            taken = seconds(functools.partial(way, module, x, g, block), g.device)
            if round_number:
                best[i] = min(best[i], taken)
    return best.index(min(best))
