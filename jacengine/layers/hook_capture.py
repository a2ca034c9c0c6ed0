"""Capture: the calls of chosen modules, seen through hooks that are gone afterwards."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from jacengine import pytrees
from jacengine._locks import TORCH_GLOBAL_LOCK
from jacengine._torch_private import nodes_made, version_of
from jacengine.layers.parameter_views import Part


@dataclass(frozen=True)
class CaptureUnit:
    """A module that answers for some of the parameters inside it, or an operator.

    Attributes:
        path: Where the module stands in the root module, which is `""`; or which
            operator it is.
        parameters: The parameters it answers for: their index among all that are
            differentiated, and their name within the unit.
        layer: The layer that an operator is like.
        part: What an operator takes of its parameter, if not all as it lies.
    """

    path: str
    parameters: tuple[tuple[int, str], ...]
    layer: nn.Module | None = None
    part: Part | None = None


@dataclass(frozen=True)
class LayerCall:
    """One call of a unit; of an operator, what the graph tells of it.

    Attributes:
        unit: Whose call it is ...
        module: ... and that module, or the layer that an operator is like.
        args: The positional arguments.
        kwargs: The keyword arguments.
        tensors: The tensors among them.
        places: Which leaves of what it returned carry a graph ...
        outputs: ... and those tensors.
        edges: Where in the graph those tensors are made; stays true when one of them
            is written in place afterwards.
        shapes: Their shapes.
        window: The sequence numbers of the graph's nodes made inside the call.
        versions: The version counter of each tensor argument at the call.
    """

    unit: CaptureUnit
    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tensors: tuple[Tensor, ...]
    places: tuple[int, ...]
    outputs: tuple[Tensor, ...]
    edges: tuple[GradientEdge, ...]
    shapes: tuple[tuple[int, ...], ...]
    window: range
    versions: tuple[int, ...]

    @property
    def untouched(self) -> bool:
        """Whether the arguments still have the values that the call saw."""
        return self.versions == tuple(map(version_of, self.tensors))


@contextmanager
def capturing(
    root: nn.Module, units: Sequence[CaptureUnit]
) -> Generator[list[LayerCall]]:
    """Record every call of the units while the context lasts.

    Args:
        root: The module that the units' paths start from.
        units: What to watch.

    Yields:
        The calls, in order; filled as they happen.
    """
    visits: list[LayerCall] = []
    with TORCH_GLOBAL_LOCK, ExitStack() as stack:
        for unit in units:
            module = root.get_submodule(unit.path)
            before, after = _hooks(unit, visits)
            for handle in (
                module.register_forward_pre_hook(
                    before, with_kwargs=True, prepend=True
                ),
                module.register_forward_hook(after, with_kwargs=True),
            ):
                stack.callback(handle.remove)
        yield visits


def _hooks(
    unit: CaptureUnit, visits: list[LayerCall]
) -> tuple[Callable[..., None], Callable[..., Any]]:
    begun: list[tuple[int, tuple[Tensor, ...], tuple[int, ...]]] = []

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        leaves = pytrees.flatten_call(args, kwargs)[0]
        tensors = tuple(leaf for leaf in leaves if isinstance(leaf, Tensor))
        begun.append((nodes_made(), tensors, tuple(map(version_of, tensors))))

    def after(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], returned: Any
    ) -> Any:
        start, tensors, versions = begun.pop()
        leaves, structure = pytrees.flatten(returned)
        places = tuple(
            i for i, t in enumerate(leaves) if isinstance(t, Tensor) and t.requires_grad
        )
        if len(places) > 1:
            # One output may be made from another (an LSTM cell's h from its c), whose
            # edge would then see cotangents that never left the unit.
            for i in places:
                leaves[i] = leaves[i].view_as(leaves[i])
        outputs = tuple(leaves[i] for i in places)
        visits.append(
            LayerCall(
                unit=unit,
                module=module,
                args=args,
                kwargs=dict(kwargs),
                tensors=tensors,
                places=places,
                outputs=outputs,
                edges=tuple(get_gradient_edge(output) for output in outputs),
                shapes=tuple(tuple(output.shape) for output in outputs),
                window=range(start, nodes_made()),
                versions=versions,
            )
        )
        return structure.unflatten(leaves) if len(places) > 1 else None

    return before, after
