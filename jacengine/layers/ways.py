"""Which of a rule's ways to a block is the fastest here: timed on the layers' own data.

Which way of contracting a convolution wins depends on its sizes, the processor and its
threads, and no rule of thumb holds for long.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from jacengine.layers.assignment import Assignment, Handling
from jacengine.layers.captured import Captured
from jacengine.layers.contraction import ruled_cotangent, ruled_input
from jacengine.layers.rule import Contract
from jacengine.layers.visits import Visit
from jacengine.measure import seconds

MOST_DIRECTIONS = 8
"""Directions that ways are timed on; more would hardly change their order ..."""
MOST_BYTES = 2**26
"""... and bytes that a block may take meanwhile."""
ROUNDS = 3
"""Times that each way is run, the first of them to warm up."""


def with_fastest(seen: Captured, batch_size: int | None) -> Assignment:
    """Time the ways of every rule that has several, and take the fastest of each.

    Args:
        seen: A forward pass.
        batch_size: The number of samples to keep apart, or `None`.
    """
    assignment, outputs = seen.assignment, seen.outputs
    pairs = list(zip(assignment.handlings, seen.visits, strict=True))
    if not any(_choices(handling, visit) for handling, visit in pairs):
        return assignment
    widest = max(p.numel() * p.element_size() for p in seen.primals)
    most = MOST_BYTES // max(1, widest * (batch_size or 1))
    entries = sum(o.numel() for o in outputs) // (batch_size or 1)
    count = max(1, min(MOST_DIRECTIONS, entries, most))
    arriving = seen.arriving(
        tuple(torch.ones_like(o).expand(count, *o.shape) for o in outputs)
    )
    handlings: list[Handling] = []
    for (handling, visit), here in zip(pairs, arriving, strict=True):
        names = _choices(handling, visit)
        if names and here[0] is not None:
            module = visit.unit.module(seen.root)
            x = ruled_input(module, visit, handling, create_graph=False)
            g = ruled_cotangent(module, visit, handling, here)
            assert handling.rule is not None
            ways = tuple(
                (name, _fastest(handling.rule.form(name).ways, module, x, g))
                for name in names
            )
            handlings.append(replace(handling, ways=ways))
        else:
            handlings.append(handling)
    return replace(assignment, handlings=tuple(handlings))


def _choices(handling: Handling, visit: Visit) -> list[str]:
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
