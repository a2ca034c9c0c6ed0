"""Autotuning: the fastest implementations, timed on the layers' own data.

How a convolution is best contracted, and how cotangents are best pulled through the
graph, depends on sizes, operators, the processor and its threads. A tuning is a plain
value, which can be saved and applied again without timing:
`("64:7:encoder.0.weight", "conv_by_groups")` is the function that contracts the block
of a parameter in layer call 7, and `("64:graph", "vmap")` is how many directions are
pulled through the graph at once, both for 64 samples.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar, get_args

import torch

from jacengine._torchfunc import Tensors, Vectorisation
from jacengine.errors import ArgumentError
from jacengine.interface import Point, Tuning
from jacengine.layers.contraction import (
    CapturedPass,
    capture_pass,
    contractor,
    group_calls,
    rule_cotangent,
    rule_input,
)
from jacengine.layers.contraction_plan import ContractionPlan
from jacengine.timing import time_interleaved

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
        tuning: Implementations to use; entries for other points are kept.
        timed: Whether to time where the tuning has no entry.

    Returns:
        The plan, and the tuning with an entry for every choice in it.

    Raises:
        ArgumentError: The tuning names an implementation that does not exist.
    """
    captured = capture_pass(point, plan) if timed else None
    plan = plan if captured is None else captured.plan
    given = dict(tuning)
    uses = {
        (i, name): f"{point.batch_size}:{i}:{point.names[index]}"
        for i, contraction in enumerate(plan.contractions)
        for index, name in contraction.unit.parameters
        if name in contraction.choices
    }
    chosen = {
        use: _checked(key, given[key], plan.contractions[use[0]].choices[use[1]])
        for use, key in uses.items()
        if key in given
    }
    graph = f"{point.batch_size}:graph"
    if graph in given:
        _checked(graph, given[graph], get_args(Vectorisation))
    if captured is not None:
        missing = [use for use in uses if use not in chosen]
        chosen |= _fastest_implementations(captured, missing, point.batch_size)
    contractions = list(plan.contractions)
    for (i, parameter), name in chosen.items():
        used = {**dict(contractions[i].implementations), parameter: name}
        contractions[i] = replace(contractions[i], implementations=tuple(used.items()))
    plan = replace(plan, contractions=tuple(contractions))
    if given.get(graph) in plan.vectorisations:
        first = sorted(plan.vectorisations, key=lambda v: v != given[graph])
        plan = replace(plan, vectorisations=tuple(first))
    elif captured is not None:
        captured = replace(captured, plan=plan)
        order = _fastest_vectorisations(captured, point.batch_size)
        plan = replace(plan, vectorisations=tuple(order))
    for (i, parameter), key in uses.items():
        contraction = plan.contractions[i]
        default = contraction.choices[parameter][0]
        given[key] = dict(contraction.implementations).get(parameter, default)
    given[graph] = plan.vectorisations[0]
    return plan, tuple(sorted(given.items()))


def _checked(key: str, name: str, options: Sequence[str]) -> str:
    if name not in options:
        raise ArgumentError(
            f"The tuning names the implementation {name!r} for {key!r}, which does not "
            f"exist; expected one of {', '.join(options)}."
        )
    return name


def _fastest_implementations(
    captured: CapturedPass, uses: Sequence[_Use], batch_size: int | None
) -> dict[_Use, str]:
    """Time the implementations of contractions; return the names of the fastest."""
    if not uses:
        return {}
    captured = replace(captured, create_graph=False)
    seeds = _seeds(captured, batch_size, most=MOST_DIRECTIONS)
    cotangents = captured.output_cotangents(seeds)
    fastest: dict[_Use, str] = {}
    for i, parameter in uses:
        rule, cotangent = captured.plan.contractions[i].rule, cotangents[i][0]
        if rule is not None and cotangent is not None:
            x, g = rule_input(captured, i), rule_cotangent(captured, i, cotangent)
            module, form = captured.calls[i].module, rule.form(parameter)
            block = form.implementations[0](module, x, g, None)
            runs = {
                name: functools.partial(implementation, module, x, g, block)
                for name, implementation in form.by_name.items()
            }
            fastest[i, parameter] = _fastest_first(runs, g.device, ROUNDS)[0]
    return fastest


def _fastest_vectorisations(
    captured: CapturedPass, batch_size: int | None
) -> Sequence[Vectorisation]:
    """Order the vectorisations that work on a graph, the fastest first.

    Contractions count too: in which order a vectorisation leaves directions and samples
    in memory decides whether they copy.
    """
    captured = replace(captured, create_graph=False)
    known = captured.plan.vectorisations
    size = captured.outputs[0].element_size()
    entries = sum(math.prod(shape) for call in captured.calls for shape in call.shapes)
    seeds = _seeds(captured, batch_size, bytes_each=entries * size)
    if seeds[0].shape[0] == 1:
        return known
    contractors = [
        (members, contractor(captured, members))
        for members in group_calls(captured)
        if captured.plan.contractions[members[0]].rule is not None
    ]
    lead = (seeds[0].shape[0], batch_size or 1)
    blocks = [(*lead, *primal.shape) for primal in captured.primals]
    # The same pages every time: page faults take longer than the differences.
    scratch = seeds[0].new_empty(max(map(math.prod, blocks)))

    def run(vectorisation: Vectorisation) -> None:
        cotangents = captured.output_cotangents(seeds, vectorisation)
        for members, contract in contractors:
            writers = contract([cotangents[i] for i in members])
            for index, write in writers.items():
                shape = blocks[index]
                write(scratch[: math.prod(shape)].view(shape))

    runs: dict[Vectorisation, Callable[[], object]] = {
        vectorisation: functools.partial(run, vectorisation) for vectorisation in known
    }
    return _fastest_first(runs, seeds[0].device, MOST_ROUNDS)


_Key = TypeVar("_Key", bound=Hashable)


def _fastest_first(
    runs: Mapping[_Key, Callable[[], object]], device: torch.device, rounds: int
) -> list[_Key]:
    """Time runs in interleaved rounds, the first of which warms up."""
    timed = time_interleaved(
        runs,
        device,
        rounds=rounds - 1,
        min_rounds=ROUNDS - 1,
        limit_s=ENOUGH,
        warm_up_rounds=1,
    )
    for error in timed.failures.values():
        raise error
    return sorted(runs, key=lambda name: min(timed.times[name]))


def _seeds(
    captured: CapturedPass,
    batch_size: int | None,
    *,
    most: int | None = None,
    bytes_each: int = 1,
) -> Tensors:
    """Return cotangents of ones, of all directions or as many as memory allows.

    A direction takes the bytes of its largest block, or more.
    """
    samples = batch_size or 1
    widest = max(p.numel() * p.element_size() for p in captured.primals)
    entries = sum(o.numel() for o in captured.outputs) // samples
    allowed = MOST_BYTES // max(1, widest * samples, bytes_each)
    count = max(1, min(entries, most or entries, allowed))
    return tuple(torch.ones_like(o).expand(count, *o.shape) for o in captured.outputs)
