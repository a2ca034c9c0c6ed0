"""Where parameters enter the autograd graph, and what the operators there are.

Hooks see what modules do. A parameter may also enter by an operator outside its module:
another's weight transposed, a bare parameter of a container, a layer written in
functions. There the graph itself tells how it is used, see
`jacengine.layers.autograd_node_rules`.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

from jacengine._torch_private import made_shape, number_of, version_of
from jacengine.layers.autograd_node_rules import Likeness, operand
from jacengine.layers.capture_coverage import Entrances
from jacengine.layers.hook_capture import CaptureUnit, LayerCall
from jacengine.layers.parameter_views import Part, View, is_view, view_of, viewed


@dataclass(frozen=True)
class _Use:
    """One place where a parameter is taken.

    Attributes:
        index: Which parameter.
        node: What takes it; `None` if it is an output as it is.
        position: Where among the node's arguments.
        views: The views of it between, each with which of its outputs; the last first.
    """

    index: int
    node: Node | None
    position: int
    views: Sequence[tuple[Node, int]]


def read_uses(
    outputs: Sequence[Tensor], primals: Sequence[Tensor], wanted: Collection[int]
) -> tuple[list[LayerCall], set[int]]:
    """Read the uses of some parameters from a graph.

    Args:
        outputs: What the graph leads to.
        primals: The parameters, as the graph has them.
        wanted: Which of them to look for.

    Returns:
        The uses, as calls of layers; and those of the parameters that also have others,
        which cannot be read.
    """
    visits: list[LayerCall] = []
    unread: set[int] = set()
    for use in _uses(outputs, primals, wanted):
        visit = _visit(use, tuple(primals[use.index].shape))
        if visit is None:
            unread.add(use.index)
        else:
            visits.append(visit)
    return visits, unread


def _visit(use: _Use, whole: tuple[int, ...]) -> LayerCall | None:
    """See a use as the call of a layer; `None` if no layer is like it."""
    node = use.node
    found = None if node is None else operand(node, use.position)
    if node is None or found is None or 0 in whole:
        return None
    views = tuple(view_of(*view) for view in reversed(use.views))
    path = f"{node.name()}[{use.position}]"
    number = number_of(node)
    unit, layer = _unit(path, use.index, found.like, whole, views)
    return LayerCall(
        unit=unit,
        module=layer,
        args=(found.x,),
        kwargs={},
        tensors=(found.x,),
        places=(),
        outputs=(),
        edges=(GradientEdge(node, 0),),
        shapes=(made_shape(node),),
        window=range(number, number + 1),
        versions=(version_of(found.x),),
    )


@functools.lru_cache(maxsize=4096)
def _unit(
    path: str,
    index: int,
    like: Likeness,
    whole: tuple[int, ...],
    views: tuple[View, ...],
) -> tuple[CaptureUnit, nn.Module]:
    taken = viewed(torch.empty(whole, device="meta"), views)
    layer, name, view = like.describe_call(taken, *like.settings)
    part = Part.of(view, whole)
    unit = CaptureUnit(path, ((index, name),), layer, None if part.as_it_lies else part)
    return unit, layer


def _uses(
    outputs: Sequence[Tensor], primals: Sequence[Tensor], wanted: Collection[int]
) -> Iterator[_Use]:
    entrances = Entrances(primals)

    def use(
        target: Node, number: int, node: Node | None, position: int
    ) -> Iterator[_Use]:
        views: list[tuple[Node, int]] = []
        index = entrances.at(target)
        while index is None and is_view(target):
            views.append((target, number))
            following, number = target.next_functions[0]
            if following is None:
                return
            target, index = following, entrances.at(following)
        if index is not None and index in wanted:
            yield _Use(index, node, position, views)

    seen: set[Node] = set()
    waiting: list[Node] = []
    for output in outputs:
        if output.requires_grad:
            end = get_gradient_edge(output)
            yield from use(end.node, end.output_nr, None, 0)
            waiting.append(end.node)
    while waiting:
        node = waiting.pop()
        if node in seen or entrances.at(node) is not None:
            continue
        seen.add(node)
        inside = is_view(node)  # then what takes the view answers
        for position, (target, number) in enumerate(node.next_functions):
            if target is not None:
                waiting.append(target)
                if not inside:
                    yield from use(target, number, node, position)
