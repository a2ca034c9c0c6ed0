"""Which module answers for which parameter, and by what means.

Each parameter starts with the module that owns it. If no rule knows that module, if
capture misses a use of the parameter there, or if the samples cannot be told apart
there, the operators that take it are looked for in the graph. If one of them is not
known either, the module runs again for each sample, or its parent, up to the root. What
not even the root can answer for is pulled through the whole graph, one sample at a
time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

import torch
from torch import nn

from jacengine._torchfunc import Tensors, Vectorisation, pull_to_edges
from jacengine.layers.call_contraction import CallContraction, handle
from jacengine.layers.capture_coverage import fingerprint, unaccounted
from jacengine.layers.hook_capture import CaptureUnit, LayerCall, capturing
from jacengine.layers.parameter_uses import read_uses
from jacengine.layers.rules import RULES
from jacengine.layers.sample_axis import placements


@dataclass(frozen=True)
class ContractionPlan:
    """Who answers for what.

    Attributes:
        units: The modules to watch.
        read: Parameters whose uses are read from the graph.
        handlings: How each of their calls is contracted, in the order of the calls.
        whole: Parameters that are pulled through the whole graph.
        vectorisations: How many directions can go through the graph at once; the first
            is in use.
        sample_axis_known: Whether the position of the sample axis was determined, and
            holds for every pass of the same signature.
        graph: What such a pass is, if shapes alone do not tell where the samples lie.
    """

    units: tuple[CaptureUnit, ...]
    read: frozenset[int]
    handlings: tuple[CallContraction, ...]
    whole: frozenset[int]
    vectorisations: tuple[Vectorisation, ...]
    sample_axis_known: bool
    graph: tuple[object, ...] | None

    def covers(
        self, outputs: Tensors, visits: Sequence[LayerCall], missed: Set[int]
    ) -> bool:
        """Tell whether another forward pass went the same way as the first."""
        if len(visits) != len(self.handlings) or any(
            visit.shapes != handling.shapes or visit.unit != handling.unit
            for visit, handling in zip(visits, self.handlings, strict=True)
        ):
            return False
        if self.graph is not None and self.graph != fingerprint(outputs):
            return False
        return missed <= self.whole


def watched(
    root: nn.Module,
    units: Sequence[CaptureUnit],
    read: Set[int],
    function: Callable[..., Tensors],
    primals: Tensors,
) -> tuple[Tensors, list[LayerCall], set[int]]:
    """Run a module, and see how its parameters are used.

    Args:
        root: The module.
        units: The modules in it to watch.
        read: Which parameters to look for in the graph.
        function: Runs the module with other values of its parameters.
        primals: Those values, tracked.

    Returns:
        The outputs; the calls of the units and the uses that were read; and the
        parameters that have others.
    """
    with capturing(root, units) as visits:
        outputs = function(*primals)
    missed = unaccounted(outputs, primals, visits) - read
    if read:
        uses, unread = read_uses(outputs, primals, read)
        return outputs, [*visits, *uses], missed | unread
    return outputs, visits, missed


def assign(
    root: nn.Module,
    names: Sequence[str],
    primals: Tensors,
    function: Callable[..., Tensors],
    batch_size: int | None,
) -> ContractionPlan:
    """Find a module for every parameter, by trying.

    Args:
        root: The module.
        names: The parameters' names.
        primals: Their values, tracked.
        function: Runs the module with such values.
        batch_size: The number of samples to keep apart, or `None`.
    """
    paths = {i: name.rpartition(".")[0] for i, name in enumerate(names)}
    read = {i for i, path in paths.items() if _readable(root.get_submodule(path))}
    tried = set(read)
    whole: set[int] = set()
    while True:
        units = _units(names, paths, read | whole)
        outputs, visits, missed = watched(root, units, read, function, primals)
        failed = missed - whole
        handlings: list[CallContraction] = []
        known = True
        if not failed:
            handlings, failed, known = handle(visits, primals, outputs, batch_size)
        if not failed:
            vectorisations = _vectorisations(outputs, visits)
            plain = batch_size is None or all(_settled(v, batch_size) for v in visits)
            return ContractionPlan(
                units,
                frozenset(read),
                tuple(handlings),
                frozenset(whole),
                vectorisations,
                plain or known,
                None if plain else fingerprint(outputs),
            )
        for index in failed:
            if index in read:
                read.remove(index)
            elif index not in tried:
                read.add(index)
                tried.add(index)
            # Without samples to keep apart there is nothing a parent could do better.
            elif batch_size is None or not paths[index]:
                whole.add(index)
            else:
                paths[index] = paths[index].rpartition(".")[0]


def _readable(module: nn.Module) -> bool:
    """Tell whether the graph may say more than the module: it is no known layer."""
    return RULES.find(module) is None and not isinstance(module, nn.RNNBase)


def _units(
    names: Sequence[str], paths: dict[int, str], others: Set[int]
) -> tuple[CaptureUnit, ...]:
    grouped: dict[str, list[tuple[int, str]]] = {}
    for index, path in paths.items():
        if index not in others:
            local = names[index].removeprefix(f"{path}." if path else "")
            grouped.setdefault(path, []).append((index, local))
    return tuple(CaptureUnit(path, tuple(members)) for path, members in grouped.items())


def _settled(visit: LayerCall, batch_size: int) -> bool:
    """Whether each tensor of a call has one place only where samples may lie."""
    shapes = [*visit.shapes, *(tuple(tensor.shape) for tensor in visit.tensors)]
    return all(sum(1 for _ in placements(shape, batch_size)) <= 1 for shape in shapes)


def _vectorisations(
    outputs: Tensors, visits: Sequence[LayerCall]
) -> tuple[Vectorisation, ...]:
    """List what works on this graph, the likely fastest first."""
    edges = [edge for visit in visits for edge in visit.edges]
    seeds = tuple(torch.zeros_like(o).expand(2, *o.shape) for o in outputs)
    working: list[Vectorisation] = []
    for vectorisation in ("legacy", "vmap"):
        try:
            pull_to_edges(outputs, edges, seeds, vectorisation=vectorisation)
        except (RuntimeError, NotImplementedError):
            continue
        working.append(vectorisation)
    return (*working, "none")
