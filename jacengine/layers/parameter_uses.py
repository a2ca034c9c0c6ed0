"""Uses of parameters: the operators of the autograd graph that take them.

Hooks see calls of modules. Where an operator outside its module uses a parameter, the
graph itself has what is needed, see `jacengine.layers.autograd_node_rules`.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

from jacengine._torch_private import made_shape, number_of, version_of
from jacengine.layers.autograd_graph import ParameterNodes, graph_edges
from jacengine.layers.autograd_node_rules import EquivalentLayer, saved_operand
from jacengine.layers.hook_capture import CaptureUnit, LayerCall
from jacengine.layers.parameter_views import (
    ParameterView,
    ViewOp,
    apply_views,
    is_view,
    view_of,
)


def uncovered_parameters(
    outputs: Sequence[Tensor], primals: Sequence[Tensor], calls: Sequence[LayerCall]
) -> set[int]:
    """Find the parameters, by index, with a use outside the calls of their unit.

    A use is an edge of the graph into the node where the parameter enters it. A use
    inside a captured call is made by a node whose sequence number is in that call's
    range. Hooks miss any other use (a weight taken by `F.linear` elsewhere, a parameter
    of a container).
    """
    nodes = ParameterNodes(primals)
    covered: dict[int, list[range]] = {}
    for call in calls:
        for index, _ in call.unit.parameters:
            covered.setdefault(index, []).append(call.node_numbers)
    # An output may be a parameter itself.
    found = {i for i in map(nodes.of, outputs) if i is not None}
    for node, _, target, _ in graph_edges(outputs, nodes):
        entering = nodes.at(target)
        if entering is not None and not any(
            number_of(node) in numbers for numbers in covered.get(entering, ())
        ):
            found.add(entering)
    return found


def find_uses(
    outputs: Sequence[Tensor], primals: Sequence[Tensor], wanted: Collection[int]
) -> tuple[list[LayerCall], set[int]]:
    """Find the uses of the wanted parameters in a graph.

    Returns:
        The uses, as calls of equivalent layers; and those of the parameters that also
        have uses to which no layer is equivalent.
    """
    nodes = ParameterNodes(primals)
    calls: list[LayerCall] = []
    others: set[int] = set()

    def add(target: Node, number: int, user: Node | None, position: int) -> None:
        views: list[ViewOp] = []
        index = nodes.at(target)
        while index is None and is_view(target):
            views.insert(0, view_of(target, number))
            following, number = target.next_functions[0]
            if following is None:
                return
            target, index = following, nodes.at(following)
        if index is None or index not in wanted:
            return
        shape = tuple(primals[index].shape)
        call = _as_call(user, position, index, shape, tuple(views))
        if call is None:
            others.add(index)
        else:
            calls.append(call)

    for output in outputs:
        if output.requires_grad:
            end = get_gradient_edge(output)
            add(end.node, end.output_nr, None, 0)
    for node, position, target, number in graph_edges(outputs, nodes):
        if not is_view(node):  # the use of a view is that of the operator that takes it
            add(target, number, node, position)
    return calls, others


def _as_call(
    node: Node | None,
    position: int,
    index: int,
    shape: tuple[int, ...],
    views: tuple[ViewOp, ...],
) -> LayerCall | None:
    """Return the use of a view of a parameter by an operator; an output has none."""
    found = None if node is None else saved_operand(node, position)
    if node is None or found is None or 0 in shape:
        return None
    unit, layer = _unit(f"{node.name()}[{position}]", index, found.layer, shape, views)
    number = number_of(node)
    return LayerCall(
        unit=unit,
        module=layer,
        tensors=(found.x,),
        versions=(version_of(found.x),),
        edges=(GradientEdge(node, 0),),
        shapes=(made_shape(node),),
        node_numbers=range(number, number + 1),
    )


@functools.lru_cache(maxsize=4096)
def _unit(
    path: str,
    index: int,
    equivalent: EquivalentLayer,
    shape: tuple[int, ...],
    views: tuple[ViewOp, ...],
) -> tuple[CaptureUnit, nn.Module]:
    taken = apply_views(torch.empty(shape, device="meta"), views)
    layer, name, parameter = equivalent.build(taken, *equivalent.options)
    view = ParameterView.of(parameter, shape)
    partial = None if view.is_identity else view
    return CaptureUnit(path, ((index, name),), layer, partial), layer
