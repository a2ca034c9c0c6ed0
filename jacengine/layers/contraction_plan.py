"""Which unit computes the block of which parameter, and how.

Each parameter starts with the module that owns it. If no rule exists for that module,
if capture misses a use of the parameter there, or if the sample axis is unknown there,
the operators that take the parameter are looked up in the autograd graph. If one of
them has no rule either, the module, or else its parent, up to the root, is rerun for
each sample. A parameter for which not even the root can be rerun takes VJPs through the
whole graph, one sample at a time.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

import torch
from torch import nn

from jacengine._torchfunc import Tensors, Vectorisation, pull_to_edges
from jacengine.interface import Point
from jacengine.layers.autograd_graph import graph_fingerprint
from jacengine.layers.call_contraction import CallContraction, plan_calls
from jacengine.layers.hook_capture import CaptureUnit, LayerCall, capturing_copy
from jacengine.layers.parameter_uses import find_uses, uncovered_parameters
from jacengine.layers.rules import RULES
from jacengine.layers.sample_axis import candidate_axes


@dataclass(frozen=True)
class ContractionPlan:
    """How the layer calls of a module are contracted.

    Attributes:
        units: The modules to capture.
        graph_parameters: Parameters whose uses are looked up in the graph.
        contractions: How each call is contracted, in the order of the calls.
        vjp_parameters: Parameters that take VJPs through the whole graph.
        vectorisations: How many directions can be pulled through the graph at once; the
            first is in use.
        sample_axis_known: Whether the position of the sample axis was determined, and
            holds for every pass of the same signature.
        fingerprint: The graph of such a pass, if shapes alone do not determine the
            sample axis.
    """

    units: tuple[CaptureUnit, ...]
    graph_parameters: frozenset[int]
    contractions: tuple[CallContraction, ...]
    vjp_parameters: frozenset[int]
    vectorisations: tuple[Vectorisation, ...]
    sample_axis_known: bool
    fingerprint: tuple[object, ...] | None

    def matches(
        self, outputs: Tensors, calls: Sequence[LayerCall], missed: Set[int]
    ) -> bool:
        """Tell whether another forward pass made the same calls."""
        if len(calls) != len(self.contractions) or any(
            call.shapes != contraction.shapes or call.unit != contraction.unit
            for call, contraction in zip(calls, self.contractions, strict=True)
        ):
            return False
        known = self.fingerprint
        if known is not None and known != graph_fingerprint(outputs):
            return False
        return missed <= self.vjp_parameters


def run_captured(
    point: Point, units: Sequence[CaptureUnit], graph_parameters: Set[int]
) -> tuple[Tensors, Tensors, list[LayerCall], set[int]]:
    """Run a module, capture its units, and find the uses of parameters in the graph.

    Returns:
        The parameters as the graph has them, and the outputs; the calls of the units,
        and the uses in the graph; and the parameters that have other uses.
    """
    primals = point.tracked()
    assert point.calling is not None
    with capturing_copy(module_of(point), units) as (module, calls):
        outputs = point.calling(module)(*primals)
    missed = uncovered_parameters(outputs, primals, calls) - graph_parameters
    if graph_parameters:
        uses, others = find_uses(outputs, primals, graph_parameters)
        return primals, outputs, [*calls, *uses], missed | others
    return primals, outputs, calls, missed


def make_plan(point: Point) -> ContractionPlan:
    """Find a unit for every parameter, by trying; takes a few passes."""
    root, names, batch_size = module_of(point), point.names, point.batch_size
    paths = {i: name.rpartition(".")[0] for i, name in enumerate(names)}
    in_graph = {
        i for i, path in paths.items() if _prefers_graph(root.get_submodule(path))
    }
    tried = set(in_graph)
    whole: set[int] = set()
    while True:
        units = _units(names, paths, in_graph | whole)
        primals, outputs, calls, missed = run_captured(point, units, in_graph)
        failed = missed - whole
        contractions: list[CallContraction] = []
        known = True
        if not failed:
            planned = plan_calls(calls, primals, outputs, batch_size)
            contractions, failed, known = planned
        if not failed:
            unique = batch_size is None or all(
                _has_unique_axis(call, batch_size) for call in calls
            )
            return ContractionPlan(
                units,
                frozenset(in_graph),
                tuple(contractions),
                frozenset(whole),
                _vectorisations(outputs, calls),
                unique or known,
                None if unique else graph_fingerprint(outputs),
            )
        for index in failed:
            if index in in_graph:
                in_graph.remove(index)
            elif index not in tried:
                in_graph.add(index)
                tried.add(index)
            # Without samples to keep apart a parent could do nothing better.
            elif batch_size is None or not paths[index]:
                whole.add(index)
            else:
                paths[index] = paths[index].rpartition(".")[0]


def module_of(point: Point) -> nn.Module:
    """Return the module whose parameters are differentiated."""
    assert point.module is not None
    return point.module


def _prefers_graph(module: nn.Module) -> bool:
    """Tell whether the graph may have more than the module: it has no rule."""
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


def _has_unique_axis(call: LayerCall, batch_size: int) -> bool:
    """Tell whether each tensor of a call has at most one candidate for its samples."""
    shapes = [*call.shapes, *(tuple(tensor.shape) for tensor in call.tensors)]
    return all(len([*candidate_axes(shape, batch_size)]) <= 1 for shape in shapes)


def _vectorisations(
    outputs: Tensors, calls: Sequence[LayerCall]
) -> tuple[Vectorisation, ...]:
    """List the vectorisations that work on a graph, the likely fastest first."""
    edges = [edge for call in calls for edge in call.edges]
    seeds = tuple(torch.zeros_like(o).expand(2, *o.shape) for o in outputs)
    working: list[Vectorisation] = []
    for vectorisation in ("legacy", "vmap"):
        try:
            pull_to_edges(outputs, edges, seeds, vectorisation=vectorisation)
        except (RuntimeError, NotImplementedError):
            continue
        working.append(vectorisation)
    return (*working, "none")
