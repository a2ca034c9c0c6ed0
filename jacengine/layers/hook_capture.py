"""Hook capture: records the calls of modules, by hooks of a copy."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from jacengine import pytrees
from jacengine._torch_private import nodes_made, version_of, with_own_hooks
from jacengine.layers.parameter_views import ParameterView


@dataclass(frozen=True)
class CaptureUnit:
    """A module, or an operator of the graph, whose calls are contracted.

    Attributes:
        path: The module's path from the root module, which is `""`; or the operator.
        parameters: The parameters to compute the blocks of: their index among all that
            are differentiated, and their name within the unit.
        layer: The layer that an operator is equivalent to.
        view: The view of its parameter that an operator takes, if not the whole.
    """

    path: str
    parameters: tuple[tuple[int, str], ...]
    layer: nn.Module | None = None
    view: ParameterView | None = None


@dataclass(frozen=True)
class LayerCall:
    """One call of a unit, as hooks saw it or as the graph has stored it.

    Attributes:
        unit: The unit.
        module: Its module, or the layer that an operator is equivalent to.
        tensors: Its tensor arguments.
        versions: The version counter of each of those at the call.
        edges: Where the outputs are made in the graph; valid also after one of them is
            written in place.
        shapes: The shapes of the outputs.
        node_numbers: The sequence numbers of the graph's nodes made inside the call.
        args: The positional arguments of a module.
        kwargs: Its keyword arguments.
        output_leaves: The leaves of what it returned that require gradients, by number.
        outputs: Those tensors.
    """

    unit: CaptureUnit
    module: nn.Module
    tensors: tuple[Tensor, ...]
    versions: tuple[int, ...]
    edges: tuple[GradientEdge, ...]
    shapes: tuple[tuple[int, ...], ...]
    node_numbers: range
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    output_leaves: tuple[int, ...] = ()
    outputs: tuple[Tensor, ...] = ()

    @property
    def inputs_unchanged(self) -> bool:
        """Whether the arguments still have the values of the call."""
        return self.versions == tuple(map(version_of, self.tensors))


@contextmanager
def capturing_copy(
    root: nn.Module, units: Sequence[CaptureUnit]
) -> Generator[tuple[nn.Module, list[LayerCall]]]:
    """Copy a module, with hooks that record every call of the units.

    The module itself has none, which another thread that calls it would meet. The copy
    loses its hooks at the end: a checkpoint calls it again in the backward pass.

    Yields:
        The copy, and its calls in order, filled as they happen.
    """
    calls: list[LayerCall] = []
    copy = with_own_hooks(root)
    with ExitStack() as stack:
        for unit in units:
            module = copy.get_submodule(unit.path)
            before, after = _hooks(unit, calls)
            handle = module.register_forward_pre_hook(
                before, with_kwargs=True, prepend=True
            )
            stack.callback(handle.remove)
            handle = module.register_forward_hook(after, with_kwargs=True)
            stack.callback(handle.remove)
        yield copy, calls


def _hooks(
    unit: CaptureUnit, calls: list[LayerCall]
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
        numbers = tuple(
            i for i, t in enumerate(leaves) if isinstance(t, Tensor) and t.requires_grad
        )
        if len(numbers) > 1:
            # One output may be made from another (an LSTM cell's h from its c), whose
            # edge would then get cotangents that never left the unit.
            for i in numbers:
                leaves[i] = leaves[i].view_as(leaves[i])
        outputs = tuple(leaves[i] for i in numbers)
        calls.append(
            LayerCall(
                unit=unit,
                module=module,
                args=args,
                kwargs=dict(kwargs),
                tensors=tensors,
                output_leaves=numbers,
                outputs=outputs,
                edges=tuple(map(get_gradient_edge, outputs)),
                shapes=tuple(tuple(output.shape) for output in outputs),
                node_numbers=range(start, nodes_made()),
                versions=versions,
            )
        )
        return structure.unflatten(leaves) if len(numbers) > 1 else None

    return before, after
