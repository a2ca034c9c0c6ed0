"""The internals of TorchDynamo: captures behind guards.

It is imported when it is first used, which takes a second.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from types import CodeType, FunctionType
from types import SimpleNamespace as Namespace
from typing import Any, Generic, NoReturn, TypeVar, cast

import torch
from torch import Tensor
from torch._C._dynamo import eval_frame
from torch.fx import GraphModule
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
