"""The internals of Inductor: graphs of operators, lowered and compiled.

It is imported when it is first used, which takes a second.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import torch
from torch import Tensor
from torch._guards import TracingContext, tracing
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from jacengine._torch_parallel import parallel_where_it_pays
from jacengine._torch_zeros import drop_zeros, keep_tangents

# pyright: reportPrivateUsage=false

MOST_TERMS = 32
"""Terms of the sums in a product of matrices, up to which it is unrolled."""

MOST_PRODUCTS = 2**16
"""Products of numbers in one of matrices, up to which it is unrolled."""

MOST_INLINED = 2**14
"""Products of numbers in one of matrices, up to which factors are computed in place."""

SMALL_MATRIX = 64
"""Entries of the second matrix, up to which a product of any size is unrolled."""

MOST_SELECTED = 2**16
"""Entries times inputs of a concatenation, up to which each entry selects its input."""

MOST_WRITTEN_OUT = 100
"""Pointwise operators of an expression, up to which it is written out where used."""

ADDING = frozenset(
    {
        *(torch.ops.aten.index_put.default, torch.ops.aten.index_add.default),
        *(torch.ops.aten.scatter_add.default, torch.ops.aten.scatter_reduce.two),
        torch.ops.aten.scatter.src,
    }
)
"""Operators that write entries of a tensor into a copy of another."""

Program = Callable[[list[Tensor]], Sequence[Tensor]]
"""A function of a list of values, which it empties."""


def in_own_order(tensor: Tensor) -> Tensor:
    """Mark a traced tensor: compiled, it keeps its present strides.

    Else Inductor may lay it out as what it is computed from, and copying it to its
    place then takes longer than computing it.
    """
    from torch._inductor import inductor_prims  # noqa: PLC0415

    return cast("Tensor", inductor_prims.force_stride_order(tensor, tensor.stride()))


def lowered_graph(
    graph: GraphModule, values: Sequence[Tensor]
) -> functools.partial[Program]:
    """Lower a graph of plain operators to those that Inductor takes.

    Returns:
        What compiles it, for values like these. Without the wrappers of AOTAutograd,
        which take as long as a small graph. What cannot be compiled raises, and is not
        logged besides.
    """
    from torch._functorch.compile_utils import fx_graph_cse  # noqa: PLC0415

    _set_inductor_up()
    plain: Callable[..., Any] = graph
    if any(is_mutable(node.target) for node in graph.graph.nodes):
        plain = torch.func.functionalize(graph)
    lowered = make_fx(
        plain,
        decomposition_table=_decompositions(),
        tracing_mode="fake",
        _allow_non_fake_inputs=True,
    )(*[value.detach() for value in values])
    drop_zeros(lowered)
    lowered.graph = fx_graph_cse(lowered.graph)
    _unexpand(lowered)
    _store_long_expressions(lowered)
    return functools.partial(_compiled, lowered)


def is_mutable(target: object) -> bool:
    """Tell whether an operator writes to one of its operands."""
    schema = getattr(target, "_schema", None)
    return bool(getattr(schema, "is_mutable", False))


@functools.cache
def _set_inductor_up() -> None:
    """Have Inductor trace what it traces once a process, on this thread.

    Tracing changes state of the whole process: compiled functions raise meanwhile.
    """
    importlib.import_module("torch._inductor.compile_fx")
    from torch._inductor.fx_passes import post_grad  # noqa: PLC0415
    from torch._inductor.loop_body import InterpreterShim  # noqa: PLC0415

    # Older releases may not have all of them.
    with suppress(AttributeError, TypeError):
        post_grad.lazy_init()
    with suppress(AttributeError, TypeError):
        InterpreterShim._dummy_gm()


@functools.cache
def _decompositions() -> Mapping[Any, Callable[..., Any]]:
    """Return Inductor's decompositions, and those of small products of matrices."""
    from torch._inductor.decomposition import select_decomp_table  # noqa: PLC0415

    aten, table = torch.ops.aten, select_decomp_table()
    products = (aten.mm.default, aten.bmm.default, aten.addmm.default)
    return {
        **table,
        **{op: _unrolled_if_small(table.get(op)) for op in products},
        aten.zeros.default: keep_tangents(table.get(aten.zeros.default)),
        # It has no memory, which compiled code reads: a crash.
        aten._efficientzerotensor.default: torch.zeros,
    }


def _unrolled_if_small(
    decomposition: Callable[..., Any] | None,
) -> Callable[..., Any]:
    """Decompose a product of small matrices into products and sums of their entries.

    Those are compiled into one loop with what surrounds them. A call of the library of
    matrix products takes longer than that, and ends a loop before and after it. The
    second matrix is laid out by rows, so that the entries of a row of the product are
    computed several at once.
    """

    def decomposed(*args: Any, **kwargs: Any) -> Any:
        *added, a, b = args
        if kwargs or not _is_small(a, b):
            other = decomposition
            return NotImplemented if other is None else other(*args, **kwargs)
        if a.numel() * b.shape[-1] > MOST_INLINED:
            a, b = map(_stored, (a, b))
        elif not b.is_contiguous():
            b = _stored(b)
        return sum(added, (a.unsqueeze(-1) * b.unsqueeze(-3)).sum(-2))

    return decomposed


def _stored(matrix: Tensor) -> Tensor:
    """Mark a matrix: compiled, it is stored by rows, instead of computed where used."""
    if 0 in matrix.stride():
        return matrix
    return in_own_order(matrix.contiguous())


def _is_small(a: Tensor, b: Tensor) -> bool:
    terms, columns = b.shape[-2:]
    few = a.numel() * columns <= MOST_PRODUCTS or terms * columns <= SMALL_MATRIX
    return (
        terms <= MOST_TERMS
        and few
        and a.dtype in {torch.float32, torch.float64}
        and a.device.type == "cpu"
    )


def _compiled(lowered: GraphModule) -> Program:
    from torch._dynamo.utils import get_metrics_context  # noqa: PLC0415
    from torch._inductor import config  # noqa: PLC0415
    from torch._inductor.compile_fx import compile_fx_inner  # noqa: PLC0415

    fakes = [n.meta["val"] for n in lowered.graph.nodes if n.op == "placeholder"]
    log = logging.getLogger("torch._inductor")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        context = tracing(TracingContext(fakes[0].fake_mode))
        settings = config.patch(_settings(lowered))
        with get_metrics_context(), context, settings, parallel_where_it_pays():
            program = compile_fx_inner(lowered, fakes)
    finally:
        log.setLevel(level)
    return cast("Program", getattr(program, "current_callable", None) or program)


def _unexpand(graph: GraphModule) -> None:
    """Copy expanded tensors that entries are added to.

    Inductor adds to the one entry that all of an expanded constant are.
    """
    expand = torch.ops.aten.expand.default
    for node in graph.graph.nodes:
        if node.target not in ADDING or node.args[0].target is not expand:
            continue
        with graph.graph.inserting_before(node):
            own = graph.graph.call_function(
                torch.ops.aten.clone.default,
                (node.args[0],),
                {"memory_format": torch.contiguous_format},
            )
        value = node.args[0].meta["val"]
        with value.fake_mode:
            own.meta["val"] = value.clone(memory_format=torch.contiguous_format)
        node.replace_input_with(node.args[0], own)
    graph.recompile()


def _store_long_expressions(graph: GraphModule) -> None:
    """Store what is used several times and is long to write out.

    Inductor writes out pointwise operators where they are used, so that what `n` steps
    of `x = f(x) + x` compute is written out `2^n` times.
    """
    from torch._inductor import inductor_prims  # noqa: PLC0415

    lengths: dict[Node, int] = {}
    for node in graph.graph.nodes:
        pointwise = torch.Tag.pointwise in getattr(node.target, "tags", ())
        if not pointwise and not _is_view(node.target):
            continue
        lengths[node] = pointwise + sum(lengths.get(x, 0) for x in node.all_input_nodes)
        if not pointwise or lengths[node] <= MOST_WRITTEN_OUT or len(node.users) < 2:
            continue
        users = dict(node.users)
        with graph.graph.inserting_after(node):
            order = node, node.meta["val"].stride()
            stored = graph.graph.call_function(inductor_prims.force_stride_order, order)
        stored.meta["val"] = node.meta["val"]
        for user in users:
            user.replace_input_with(node, stored)
        lengths[node] = 0
    graph.recompile()


def _is_view(target: object) -> bool:
    schema = getattr(target, "_schema", None)
    return any(
        result.alias_info is not None for result in getattr(schema, "returns", ())
    )


def _settings(graph: GraphModule) -> dict[str, object]:
    """Choose settings of Inductor for a graph, unless the user has."""
    from torch._inductor import config  # noqa: PLC0415

    return {"force_pointwise_cat": config.force_pointwise_cat or _has_small_cats(graph)}


def _has_small_cats(graph: GraphModule) -> bool:
    """Tell whether all concatenations are small.

    Computed entry by entry, they need no memory for their inputs, and are compiled into
    one loop with what surrounds them; but each entry goes through all inputs.
    """
    return all(
        len(node.args[0]) * node.meta["val"].numel() <= MOST_SELECTED
        for node in graph.graph.nodes
        if node.target is torch.ops.aten.cat.default
    )
