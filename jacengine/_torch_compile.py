"""The internals of TorchDynamo and Inductor: captures behind guards, compiled graphs.

Both are imported when they are first used, which takes a second.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import logging
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import CodeType, FunctionType
from types import SimpleNamespace as Namespace
from typing import Any, Generic, NoReturn, TypeVar, cast

import torch
from torch import Tensor
from torch._C._dynamo import eval_frame
from torch._guards import TracingContext, tracing
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import _disable_current_modes

# pyright: reportPrivateUsage=false

T = TypeVar("T")


class _Fetched(Exception):  # noqa: N818 - no error, it ends Dynamo's code early
    """Carries what Dynamo's code hands to a graph: all tensors that are read."""

    def __init__(self, inputs: tuple[Any, ...]) -> None:
        super().__init__()
        self.inputs = inputs


def _fetched(*inputs: Any) -> NoReturn:
    raise _Fetched(inputs)


class GuardedCaptures(Generic[T]):
    """What TorchDynamo captured of functions, behind its guards.

    The guards tell whether a function would do today what was captured, also another
    function with the same code. The code that Dynamo generates finds the tensors that
    are read, in arguments, closures and modules; it is not run further than that.
    """

    def __init__(self) -> None:
        """Prepare to capture."""

        def entry(fn: Any, args: Any, kwargs: Any) -> Any:
            return fn(*args, **kwargs)

        # Dynamo keeps what it captured with the code, and only so many captures a code.
        name = f"call_{next(_ENTRIES)}"
        self._code = entry.__code__.replace(co_name=name, co_qualname=name)
        self._capture = torch.compile(
            FunctionType(self._code, entry.__globals__, name),
            backend=self._stage,
            fullgraph=True,
            dynamic=False,
        )
        self._known: dict[int, tuple[FunctionType, T]] = {}
        self._graph: GraphModule | None = None

    def recognize(self, fn: Any, args: Any, kwargs: Any) -> T | None:
        """Return what was kept of a capture that does the same as this call."""
        known = self._known.get(id(self._fitting(fn, args, kwargs)))
        return None if known is None else known[1]

    def find(self, fn: Any, args: Any, kwargs: Any) -> tuple[T, tuple[Any, ...]] | None:
        """Find what was captured and does the same as this call.

        Returns:
            What was kept of it, and the tensors that the call reads; `None` if there is
            nothing.
        """
        known = self._known.get(id(self._fitting(fn, args, kwargs)))
        if known is None:
            return None
        fetch, value = known
        try:
            fetch(fn, args, kwargs)
        except _Fetched as fetched:
            return value, fetched.inputs
        return None

    def capture(
        self,
        fn: Any,
        args: Any,
        kwargs: Any,
        make: Callable[[GraphModule, tuple[Any, ...]], T],
    ) -> tuple[T, tuple[Any, ...]]:
        """Capture a call, for which nothing was found.

        Args:
            fn: The function.
            args: Its positional arguments.
            kwargs: Its keyword arguments.
            make: What is to be kept of a graph and the tensors that it is given.

        Returns:
            What is kept, and the tensors that the call reads.

        Raises:
            RuntimeError: It cannot be captured, or has been too often.
        """
        from torch._dynamo import config  # noqa: PLC0415
        from torch._dynamo.exc import FailOnRecompileLimitHit  # noqa: PLC0415

        try:
            known = {
                name: on for name, on in _SETTINGS.items() if hasattr(config, name)
            }
            with config.patch(known), _marks_removed(), _generators_go_on():
                self._capture(fn, args, kwargs)
        except FailOnRecompileLimitHit as error:
            raise RuntimeError("TorchDynamo has captured it too often") from error
        except _Fetched as fetched:
            graph, self._graph = self._graph, None
            value = make(cast("GraphModule", graph), fetched.inputs)
            code = self._fitting(fn, args, kwargs)
            if code is not None:
                self._known[id(code)] = _until_graph(code), value
            return value, fetched.inputs
        raise RuntimeError("TorchDynamo has captured no operator, or gave up")

    def _stage(self, graph: GraphModule, _: object) -> Callable[..., NoReturn]:
        self._graph = graph
        return _fetched

    def _fitting(self, fn: Any, args: Any, kwargs: Any) -> CodeType | None:
        """Find the code of a capture that fits a call.

        As Dynamo itself would, whose wrappers take 100 us for it.
        """
        call = {"fn": fn, "args": args, "kwargs": kwargs}
        # Asked anew at each call: entries die with what their guards refer to.
        for entry in eval_frame._debug_get_cache_entry_list(self._code):
            code: object = entry.code
            if isinstance(code, CodeType) and entry.guard_manager.check(call):
                return code
        return None


_ENTRIES = itertools.count()
_SETTINGS = {
    "allow_rnn": True,
    "skip_nnmodule_hook_guards": False,  # hooks may be added later
    "skip_no_tensor_aliasing_guards_on_parameters": False,  # or be tied
    "use_recursive_dict_tags_for_guards": True,  # 28 us instead of 200 at 400 modules
}
"""Settings of Dynamo for captures; older releases do not have all of them."""


@contextmanager
def _generators_go_on() -> Generator[None]:
    """Keep Dynamo from rewinding random generators, which other threads may draw from.

    It draws nothing itself: it traces on tensors without values.
    """
    here = threading.get_ident()

    def elsewhere(write: Callable[..., None]) -> Callable[..., None]:
        def wrapped(*args: Any, **kwargs: Any) -> None:
            if threading.get_ident() != here:
                write(*args, **kwargs)

        return wrapped

    homes: tuple[Any, ...] = (torch.random, torch.cuda)
    writes = [home.set_rng_state for home in homes]
    for home, write in zip(homes, writes, strict=True):
        home.set_rng_state = elsewhere(write)
    try:
        yield
    finally:
        for home, write in zip(homes, writes, strict=True):
            home.set_rng_state = write


@contextmanager
def _marks_removed() -> Generator[None]:
    """Remove the attributes that Dynamo sets on parameters and buffers."""
    from torch._dynamo.variables.builder import VariableBuilder  # noqa: PLC0415

    mark, name = VariableBuilder.mark_static_input, "_dynamo_static_input_type"
    marked: list[Tensor] = []

    def noted(builder: Any, value: Tensor, *args: Any, **kwargs: Any) -> None:
        if not hasattr(value, name):
            marked.append(value)
        mark(builder, value, *args, **kwargs)

    VariableBuilder.mark_static_input = noted  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        VariableBuilder.mark_static_input = mark  # type: ignore[method-assign]
        for tensor in marked:
            vars(tensor).pop(name, None)


def _until_graph(code: CodeType) -> FunctionType:
    """Make a function of Dynamo's code that ends where the graph would be run."""
    import torch._dynamo.utils as dynamo_utils  # noqa: PLC0415

    # Where Dynamo would tell a profiler; that takes longer than all the rest.
    quiet = {
        **vars(dynamo_utils),
        "record_pregraph_bytecode_enter": lambda: None,
        "record_pregraph_bytecode_exit": lambda _: None,
    }
    scope = {**globals(), "__import_torch_dot__dynamo_dot_utils": Namespace(**quiet)}
    scope |= {n: _fetched for n in code.co_names if n.startswith("__compiled_fn")}
    return FunctionType(code, scope)


def in_own_order(tensor: Tensor) -> Tensor:
    """Mark a traced tensor: compiled, it keeps its present strides.

    Else Inductor may lay it out as what it is computed from, and copying it to its
    place then takes longer than computing it.
    """
    from torch._inductor import inductor_prims  # noqa: PLC0415

    return cast("Tensor", inductor_prims.force_stride_order(tensor, tensor.stride()))


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


def lowered_graph(
    graph: GraphModule, values: Sequence[Tensor]
) -> Callable[[], Program]:
    """Lower a graph of plain operators to those that Inductor takes.

    Returns:
        What compiles it, for values like these. Without the wrappers of AOTAutograd,
        which take as long as a small graph. What cannot be compiled raises, and is not
        logged besides.
    """
    from torch._inductor.decomposition import select_decomp_table  # noqa: PLC0415

    _set_inductor_up()
    plain: Callable[..., Any] = graph
    if any(is_mutable(node.target) for node in graph.graph.nodes):
        plain = torch.func.functionalize(graph)
    lowered = make_fx(
        plain,
        decomposition_table={
            **select_decomp_table(),
            # It has no memory, which compiled code reads: a crash.
            torch.ops.aten._efficientzerotensor.default: torch.zeros,
        },
        tracing_mode="fake",
        _allow_non_fake_inputs=True,
    )(*[value.detach() for value in values])
    _unexpand(lowered)
    return functools.partial(_compiled, lowered)


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


def _compiled(lowered: GraphModule) -> Program:
    from torch._dynamo.utils import get_metrics_context  # noqa: PLC0415
    from torch._inductor.compile_fx import compile_fx_inner  # noqa: PLC0415

    fakes = [n.meta["val"] for n in lowered.graph.nodes if n.op == "placeholder"]
    log = logging.getLogger("torch._inductor")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        context = tracing(TracingContext(fakes[0].fake_mode))
        with get_metrics_context(), context:
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


@contextmanager
def without_modes() -> Generator[None]:
    """Let guards see tensors as they are outside of the modes that are entered.

    Such as those that measure memory, make fake tensors or trace.
    """
    with ExitStack() as stack:
        while torch._C._len_torch_function_stack() > 0:
            mode = torch._C._pop_torch_function_stack()
            stack.callback(torch._C._push_on_torch_function_stack, mode)
        if torch._C._len_torch_dispatch_stack() > 0:
            stack.enter_context(_disable_current_modes())
            stack.callback(
                torch.set_autocast_cache_enabled, torch.is_autocast_cache_enabled()
            )
            torch.set_autocast_cache_enabled(True)  # tracing has disabled it
        yield


def is_mutable(target: object) -> bool:
    """Tell whether an operator writes to one of its operands."""
    schema = getattr(target, "_schema", None)
    return bool(getattr(schema, "is_mutable", False))
