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

from jacengine._internals import number_of
from jacengine.layers.visits import Visit


def unaccounted(
    outputs: Sequence[Tensor], primals: Sequence[Tensor], visits: Sequence[Visit]
) -> set[int]:
    """Find the parameters with a use outside the captured calls of their unit.

    Args:
        outputs: What the graph leads to.
        primals: The parameters, as the graph has them.
        visits: The captured calls.

    Returns:
        Their indices among the primals.
    """
    # A parameter enters at the node that made it; a leaf, at one that holds it.
    made = {p.grad_fn: i for i, p in enumerate(primals) if p.grad_fn is not None}
    leaves = {id(p): i for i, p in enumerate(primals) if p.grad_fn is None}
    windows: dict[int, list[range]] = {}
    for visit in visits:
        for index, _ in visit.unit.parameters:
            windows.setdefault(index, []).append(visit.window)
    # An output may be a parameter itself.
    found = {leaves[id(o)] for o in outputs if id(o) in leaves}
    found |= {made[o.grad_fn] for o in outputs if o.grad_fn in made}
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
            held = leaves.get(id(getattr(target, "variable", None)))
            entered = made.get(target, held)
            if entered is None:
                waiting.append(target)
                continue
            number = number_of(node)
            if not any(number in window for window in windows.get(entered, ())):
                found.add(entered)
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
