"""A function as a program: a graph of ATen operators, valid while its guards pass.

TorchDynamo captures what the function does, as a graph whose inputs are all tensors
that the code reads, and `make_fx` brings that to ATen operators. It is traced with
gradients recorded: what the user's code keeps from being differentiated shows as such.

A function that cannot be captured whole has no program: one that branches on values,
calls other libraries, or brings a derivative of its own.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions
from torch._ops import HigherOrderOperator, OpOverload
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.traceback import preserve_node_meta

from jacengine._torch_compile import GuardedCaptures, without_modes
from jacengine._torch_lowering import is_mutable
from jacengine._torch_private import transform_depth
from jacengine.errors import UnsupportedError
from jacengine.program.operators import STOP, aten, run_node

WITHOUT_EFFECT = frozenset({aten.detach.default, aten.alias.default})
"""What autograd adds to a trace, and what does nothing to values."""
MAX_OPERATORS = 2000
"""Operators up to which a program is read; longer ones are unrolled loops."""


@dataclass(frozen=True, eq=False)
class Program:
    """A graph of ATen operators without side effects.

    Attributes:
        module: The graph.
        inputs: Its placeholders.
        output: What the function returns.
    """

    module: GraphModule
    inputs: tuple[Node, ...]
    output: Node

    @property
    def operators(self) -> Iterator[Node]:
        """The calls of operators, in order."""
        return (n for n in self.module.graph.nodes if n.op == "call_function")

    def evaluate(self, values: Sequence[Any]) -> dict[Node, Any]:
        """Return the value of every node, for these inputs."""
        found = dict(zip(self.inputs, values, strict=True))
        for node in self.module.graph.nodes:
            if node.op == "get_attr":
                found[node] = getattr(self.module, str(node.target))
            elif node.op == "call_function":
                found[node] = run_node(node, found)
        return found


class Programs:
    """The programs of functions with one code: one for each way through it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._captures = GuardedCaptures[Program]()

    def of(self, fn: Any, args: Any, kwargs: Any) -> tuple[Program, tuple[Any, ...]]:
        """Return the program of a call, and the tensors that the call reads.

        Args:
            fn: The function.
            args: Its positional arguments; tensors to differentiate by record.
            kwargs: Its keyword arguments.

        Raises:
            UnsupportedError: It has no program, with the reason.
            RuntimeError: It cannot be captured.
        """
        with torch.enable_grad(), without_modes():
            found = self._captures.find(fn, args, kwargs)
            if found is not None:
                return found
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self._captures.capture(fn, args, kwargs, _make)


def _make(graph: GraphModule, inputs: tuple[Any, ...]) -> Program:
    """Bring a graph of TorchDynamo to ATen operators.

    Raises:
        UnsupportedError: It has an operator that is not a plain function of tensors.
    """
    for node in graph.graph.nodes:
        if isinstance(node.target, HigherOrderOperator):
            raise UnsupportedError(f"the program has a {node.target}")
    own = [x.detach().requires_grad_(x.requires_grad) for x in inputs]
    module = _traced(_run_marked(graph), own)
    return _program_of(_without_writes(module, inputs))


def traced(function: Callable[..., Any], values: Sequence[Any]) -> Program:
    """Return the program of a function of tensors, without guards.

    Raises:
        UnsupportedError: It has an operator that is not a plain function of tensors.
        RuntimeError: It cannot be traced.
    """
    with without_modes(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _program_of(_without_writes(_traced(function, values), values))


def decomposed(program: Program, values: Sequence[Any]) -> Program:
    """Return a program of the core operators of ATen.

    Marks where the gradient stops may be lost: what it depends on may be more.

    Raises:
        UnsupportedError: It has an operator that is not a plain function of tensors.
    """
    own = [x.detach() if isinstance(x, Tensor) else x for x in values]
    table: Any = core_aten_decompositions()
    trace = make_fx(
        program.module,
        decomposition_table=table,
        tracing_mode="fake",
        _allow_non_fake_inputs=True,
    )
    with torch.no_grad(), without_modes(), preserve_node_meta():
        return _program_of(trace(*own))


def _program_of(module: GraphModule) -> Program:
    """Clean a graph of ATen operators.

    Raises:
        UnsupportedError: It has an operator that is not a plain function of tensors.
    """
    for node in list(module.graph.nodes):
        if node.op != "call_function":
            continue
        if node.target is operator.getitem and "val" not in node.meta:
            node.meta["val"] = node.args[0].meta["val"][node.args[1]]
        replacement = _replacement(node)
        if replacement is not None:
            node.replace_all_uses_with(replacement)
            module.graph.erase_node(node)
            continue
        _refuse(node)
    module.graph.eliminate_dead_code()
    module.recompile()
    nodes = list(module.graph.nodes)
    if len(nodes) > MAX_OPERATORS:
        raise UnsupportedError(f"the program has {len(nodes)} operators")
    (output,) = next(n for n in nodes if n.op == "output").args
    if isinstance(output, (tuple, list)) and len(output) == 1:
        (output,) = output
    if not isinstance(output, Node):
        raise UnsupportedError("the program returns several tensors")
    return Program(module, tuple(n for n in nodes if n.op == "placeholder"), output)


def _traced(function: Callable[..., Any], inputs: Sequence[Any]) -> GraphModule:
    trace = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)
    with preserve_node_meta():  # where in the user's code an operator is from
        return trace(*inputs)


def _without_writes(module: GraphModule, inputs: Sequence[Any]) -> GraphModule:
    """Replace what a graph writes to a tensor by new tensors."""
    if not any(is_mutable(node.target) for node in module.graph.nodes):
        return module
    return _traced(torch.func.functionalize(module), inputs)


def _replacement(node: Node) -> Node | None:
    """Return the operand that an operator returns unchanged, if it does."""
    if node.target in WITHOUT_EFFECT:
        return node.args[0]  # type: ignore[return-value]
    if node.target is aten.copy.default:  # what functionalization makes of a write
        there, source = node.args[:2]
        if isinstance(there, Node) and isinstance(source, Node):
            like, value = there.meta["val"], source.meta["val"]
            if (like.shape, like.dtype) == (value.shape, value.dtype):
                return source
    return None


def _refuse(node: Node) -> None:
    """Refuse an operator that writes, draws random numbers, or is no operator of ATen.

    Raises:
        UnsupportedError: It is one of those.
    """
    target: Any = node.target
    if not isinstance(target, OpOverload):
        if getattr(target, "__name__", "") == "getitem":
            return
        raise UnsupportedError(f"the program calls {target}")
    if "as_strided" in target.name():
        raise UnsupportedError(f"the program rests on strides, by {target}")
    if is_mutable(target):
        raise UnsupportedError(f"the program writes to a tensor, by {target}")
    if torch.Tag.nondeterministic_seeded in target.tags and not _never_drops(node):
        raise UnsupportedError(f"the program draws random numbers, by {target}")


def _never_drops(node: Node) -> bool:
    """Tell whether an operator is random but for a dropout of probability zero."""
    target: Any = node.target
    names = [argument.name for argument in target._schema.arguments]
    given = dict(zip(names, node.args, strict=False)) | node.kwargs
    defaults = {a.name: a.default_value for a in target._schema.arguments}
    return any(
        given.get(name, defaults[name]) == 0
        for name in ("dropout_p", "p")
        if name in defaults
    )


class _run_marked(Interpreter):  # noqa: N801 - it is used as a function
    """Runs a graph, marking results that the gradient does not reach by `STOP`."""

    def __call__(self, *inputs: Any) -> Any:
        """Run it."""
        return self.run(*inputs)

    def run_node(self, n: Node) -> Any:
        """Run a node."""
        result = super().run_node(n)
        recorded = any(
            getattr(self.env.get(operand), "requires_grad", False)
            for operand in n.all_input_nodes
        )
        if (
            recorded
            and isinstance(result, Tensor)
            and result.is_floating_point()
            and not result.requires_grad
            and not transform_depth()
        ):
            return STOP(result)
        return result
