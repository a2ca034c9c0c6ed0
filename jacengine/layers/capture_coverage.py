"""Does capture see every use of a parameter?

A use is an edge of the autograd graph into the node where the parameter enters it. A
use inside a captured call is made by a node whose sequence number lies in that call's
window. Any other use (a weight taken by `F.linear` elsewhere, a parameter of a
container) would be missed by hooks, and is found here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.autograd.graph import Node

from jacengine._torch_private import number_of
from jacengine.layers.hook_capture import LayerCall


class Entrances:
    """Where parameters enter a graph: at the nodes that made them, or hold them."""

    def __init__(self, primals: Sequence[Tensor]) -> None:
        """Note the nodes."""
        self._made: dict[object, int] = {
            p.grad_fn: i for i, p in enumerate(primals) if p.grad_fn is not None
        }
        self._held = {id(p): i for i, p in enumerate(primals) if p.grad_fn is None}

    def at(self, node: Node) -> int | None:
        """Say which parameter enters at a node."""
        held = self._held.get(id(getattr(node, "variable", None)))
        return self._made.get(node, held)

    def of(self, output: Tensor) -> int | None:
        """Say which parameter an output is."""
        held = self._held.get(id(output))
        return self._made.get(output.grad_fn, held)


def unaccounted(
    outputs: Sequence[Tensor], primals: Sequence[Tensor], visits: Sequence[LayerCall]
) -> set[int]:
    """Find the parameters with a use outside the captured calls of their unit.

    Args:
        outputs: What the graph leads to.
        primals: The parameters, as the graph has them.
        visits: The captured calls.

    Returns:
        Their indices among the primals.
    """
    entrances = Entrances(primals)
    windows: dict[int, list[range]] = {}
    for visit in visits:
        for index, _ in visit.unit.parameters:
            windows.setdefault(index, []).append(visit.window)
    # An output may be a parameter itself.
    found = {i for i in map(entrances.of, outputs) if i is not None}
    seen: set[object] = set()
    waiting = [o.grad_fn for o in outputs if o.grad_fn is not None]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        for target, _ in node.next_functions:
            if target is None:
                continue
            entering = entrances.at(target)
            if entering is None:
                waiting.append(target)
                continue
            number = number_of(node)
            if not any(number in window for window in windows.get(entering, ())):
                found.add(entering)
    return found


_AXES = ("_saved_dim", "_saved_dim0", "_saved_dim1", "_saved_dims")
"""Where the graph's nodes keep the axes that an operator was given."""


def fingerprint(outputs: Sequence[Tensor]) -> tuple[object, ...]:
    """Describe a graph: which operators it is made of, on which axes, how joined.

    Two passes of one function with the same shapes and the same graph treat their axes
    alike.
    """
    numbers: dict[object, int] = {}
    described: list[object] = []
    waiting: list[Any] = [output.grad_fn for output in reversed(outputs)]
    while waiting:
        node = waiting.pop()
        if node is None or node in numbers:
            described.append(numbers.get(node))
            continue
        numbers[node] = len(numbers)
        described.append((node.name(), *(getattr(node, axes, None) for axes in _AXES)))
        waiting += [target for target, _ in reversed(node.next_functions)]
    return tuple(described)
