"""A whole sweep, traced once and compiled by Inductor, guarded by TorchDynamo.

Eager passes pay Python, functorch and the dispatcher for each operator, which for small
tensors is most of the time. Here the whole computation (seeds, forward and backward
passes, placing into J) is traced into one graph of plain operators for Inductor.

A trace is of one path through the user's code. TorchDynamo's guards decide whether the
code would take that path again: they check all that it reads. Where none fit, the code
is captured and compiled anew. Code that Dynamo cannot capture whole (branches on
values, calls into other libraries) is declined. What comes out is compared with the
eager method at each compilation.

Sources: `make_fx` of the whole derivative as the target of a compiler, as AOTAutograd;
guards: Ansel et al., PyTorch 2, 2024, https://docs.pytorch.org/assets/pytorch2-2.pdf.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from jacengine._locks import TORCH_GLOBAL_LOCK
from jacengine._progress import stage
from jacengine._torch_compile import GuardedCaptures
from jacengine._torch_lowering import in_own_order, lowered_graph
from jacengine._torch_private import set_grad_enabled
from jacengine._torchfunc import Tensors
from jacengine.errors import UnsupportedError
from jacengine.execution.pattern_check import refuse_outside
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.results.result import Blocks, Result
from jacengine.tolerance import TOLERANCES

Run = Callable[[BoundFunction], Result]
"""Computes a Jacobian, eagerly."""

MAX_OPERATORS = 1000
"""Operators of a trace up to which it is compiled: that takes 10 to 40 ms for each."""
MAX_PROGRAMS = 8
"""Programs that are compiled for one plan; Dynamo's own limit of recompilations."""


class CompiledSweep:
    """A sweep as a compiled program: one for each way through the user's code."""

    def __init__(self, problem: Problem, run: Run) -> None:
        """Prepare to compile at the first call what `run` computes eagerly.

        Raises:
            UnsupportedError: What the function does is not in its graph.
        """
        reason = not_compilable(problem)
        if reason is not None:
            raise UnsupportedError(reason)
        self._problem, self._run = problem, run
        # Two programs a capture at most: one that writes its result, one that makes it.
        self._captures = GuardedCaptures[dict[bool, _Program]]()
        self._made = 0

    def __call__(
        self, bound: BoundFunction, into: Tensors = ()
    ) -> tuple[Blocks, Tensors]:
        """Compute the blocks and values at a call; compile first if nothing fits it.

        They are written `into` contiguous tensors of their shapes by one program, or
        made anew by another.

        Raises:
            RuntimeError: It cannot be captured or compiled, or is wrong then; or what
                the function itself raises.
        """
        with TORCH_GLOBAL_LOCK, torch.no_grad():
            programs, inputs, alike = self._captured(bound)
            program = programs.get(bool(into))
            if program is None or not program.fits(inputs):
                with stage("compilation"):
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        program = self._traced(alike, inputs, into)
                    program.compile()
                programs[bool(into)] = program
            if not program.verified:
                program.verify(inputs, into, self._run(alike))
            return program(inputs, into)

    def fits(self, bound: BoundFunction, *, into: bool) -> bool:
        """Tell whether a program is compiled that computes such a call."""
        with TORCH_GLOBAL_LOCK, torch.no_grad():
            found = self._captures.find(bound.fn, *_detached(bound)[1])
            if found is None:
                return False
            programs, inputs = found
            program = programs.get(into)
            return program is not None and program.fits(inputs)

    def trace(self, bound: BoundFunction, into: Tensors = ()) -> Callable[[], None]:
        """Trace for such a call; the first call after it is compiled verifies.

        Tracing changes state of the whole process (what `nn.Module` is, whether
        compiled functions may be called), so it belongs to the thread of the caller.

        Returns:
            What compiles: any thread may call it, beside others.

        Raises:
            RuntimeError: It cannot be traced, or what the function itself raises.
        """
        with TORCH_GLOBAL_LOCK, torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            programs, inputs, alike = self._captured(bound)
            program = self._traced(alike, inputs, into)

        def compile_traced() -> None:
            program.compile()
            programs[bool(into)] = program

        return compile_traced

    def _captured(
        self, bound: BoundFunction
    ) -> tuple[dict[bool, _Program], tuple[Any, ...], BoundFunction]:
        """Find the programs of a call, what it reads, and the call on such tensors."""
        leaves, call = _detached(bound)
        found = self._captures.find(bound.fn, *call)
        if found is None:
            found = self._captures.capture(bound.fn, *call, _no_programs)
        return *found, bound.at(leaves)

    def _traced(
        self, bound: BoundFunction, inputs: tuple[Any, ...], into: Tensors
    ) -> _Program:
        self._made += 1
        if self._made > MAX_PROGRAMS:
            raise RuntimeError(
                f"what the function reads has changed {MAX_PROGRAMS} times: too often "
                "to compile"
            )
        return _Program(self._problem, bound, self._run, inputs, into)

    def run_guarded(
        self, fn: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], into: Tensors
    ) -> tuple[Blocks, Tensors] | None:
        """Compute the blocks at a call that a compiled program fits by its guards.

        Returns:
            The blocks and values; `None` if there is no such program.
        """
        recorded = torch.is_grad_enabled()
        set_grad_enabled(False)
        try:
            found = self._captures.find(fn, args, kwargs)
            if found is None:
                return None
            programs, inputs = found
            program = programs.get(bool(into))
            if program is None or not (program.reads_all and program.fits(inputs)):
                return None
            if not program.verified:
                return None
            return program(inputs, into)
        finally:
            set_grad_enabled(recorded)


def not_compilable(problem: Problem) -> str | None:
    """Say why a problem is not compiled whatever the method, if so."""
    if problem.stochastic or problem.changes_state or problem.coupled:
        return "a compiled pass leaves out random numbers and changes of buffers"
    if problem.options.create_graph or problem.options.has_aux:
        return "a compiled pass returns the derivative alone, without a graph"
    return None


def _detached(
    bound: BoundFunction,
) -> tuple[list[Any], tuple[tuple[Any, ...], dict[str, Any]]]:
    """Return the leaves of a call, and its arguments made of those.

    Tensors are copies that share memory: nothing else in the user's code is one.
    """
    leaves = [
        leaf.detach() if isinstance(leaf, Tensor) else leaf for leaf in bound.leaves
    ]
    return leaves, bound.call_spec.structure.unflatten(leaves)


def _no_programs(*_: object) -> dict[bool, _Program]:
    return {}


class _Program:
    """A traced computation as a function of what Dynamo hands over: to be compiled.

    Attributes:
        reads_all: Whether the code reads all that is differentiated: no guard looks at
            the shape of what it does not.
        verified: Whether it has been compared with the eager result.
    """

    def __init__(
        self,
        problem: Problem,
        bound: BoundFunction,
        run: Run,
        inputs: Sequence[Any],
        into: Tensors,
    ) -> None:
        """Trace what `run` computes eagerly.

        Args:
            problem: What is computed.
            bound: The function at arguments that are among the inputs.
            run: Computes the Jacobian eagerly.
            inputs: All tensors that the user's code reads.
            into: Where to write the blocks; if empty, they are returned.

        Raises:
            RuntimeError: It is too long.
        """
        self.verified = False
        tensors = [leaf for leaf in bound.leaves if isinstance(leaf, Tensor)]
        place = {id(tensor): k for k, tensor in enumerate(inputs)}
        slots = bound.call_spec.slots
        primals = bound.parameters() or tuple(bound.leaves[slot] for slot in slots)
        self.reads_all = all(id(primal) in place for primal in primals)
        shape: list[int] = []

        def traced(*arguments: Tensor) -> list[Tensor]:
            others, places = iter(arguments[: len(tensors)]), arguments[len(tensors) :]
            leaves = [
                next(others) if isinstance(x, Tensor) else x for x in bound.leaves
            ]
            result = run(bound.at(leaves))
            shape[:] = map(len, result.blocks)
            blocks = list(chain.from_iterable(result.blocks))
            further = [*result.values, *result.outside]
            if not places:
                return blocks + further
            for block, there in zip(blocks, places, strict=True):
                there.copy_(in_own_order(block))
            return further

        first = run(bound)  # whatever a first run sets up is not in the trace
        self._problem, self._checks = problem, len(first.outside)
        self._value_count = len(first.values)
        graph = make_fx(traced)(*tensors, *into)
        graph.graph.eliminate_dead_code()
        count = len(graph.graph.nodes)
        if count > MAX_OPERATORS:
            raise RuntimeError(f"a trace of {count} operators takes minutes to compile")
        held = _lifted(graph, place)
        values = [*tensors, *into, *(inputs[k] for k in held)]
        self._compile, self._example = lowered_graph(graph, values), values
        self._into = bool(into)
        # A leaf that the code does not read keeps the value that it has now.
        places = [place.get(id(tensor)) for tensor in tensors]
        unread = [x for x, k in zip(tensors, places, strict=True) if k is None]
        self._unread, last = tuple(unread), itertools.count(len(inputs))
        self._order = [next(last) if k is None else k for k in places] + held
        self._leaf_count = len(tensors)
        # What else the code reads is no argument: baked in, if it matters at all.
        read = {*places, *held}
        self._fixed = [(k, x) for k, x in enumerate(inputs) if k not in read]
        self._lines = shape

    def compile(self) -> None:
        """Compile what was traced."""
        values, compile_lowered = self._example, self._compile
        del self._example, self._compile  # which hold tensors of the user's
        with torch.no_grad():
            self._program = compile_lowered()
            # What is written into memory of the caller's is returned nowhere else.
            alone = self._into and not self._value_count
            self._shared = () if alone else _shared(self._program(values[:]), values)

    def verify(self, inputs: Sequence[Any], into: Tensors, right: Result) -> None:
        """Compare what it computes with the eager result.

        Raises:
            RuntimeError: It is another one.
        """
        blocks, values = self(inputs, into)
        compiled = [*chain.from_iterable(blocks), *values]
        eager_ones = [*chain.from_iterable(right.blocks), *right.values]
        for block, eager in zip(compiled, eager_ones, strict=True):
            if not _close(block, eager):
                raise RuntimeError("compiled, its result is another one")
        self.verified = True

    def fits(self, inputs: Sequence[Any]) -> bool:
        """Tell whether all that is no argument is what it was."""
        fixed = self._fixed
        return not fixed or all(inputs[k] is known for k, known in fixed)

    def __call__(self, inputs: Sequence[Any], into: Tensors) -> tuple[Blocks, Tensors]:
        """Run the program on other inputs, and into other blocks, of the same kind."""
        every = (*inputs, *self._unread)
        values = [every[k] for k in self._order]
        if into:
            values[self._leaf_count : self._leaf_count] = into
        found = list(self._program(values))
        for k in self._shared:
            found[k] = found[k].clone()
        if self._checks:
            refuse_outside(self._problem, found[-self._checks :])
            del found[-self._checks :]
        primal: Tensors = ()
        if self._value_count:
            primal = tuple(found[-self._value_count :])
            del found[-self._value_count :]
        if into:
            found = list(into)
        if len(self._lines) == 1:
            return [found], primal
        blocks = iter(found)
        lines = [[next(blocks) for _ in range(count)] for count in self._lines]
        return lines, primal


def _shared(blocks: Sequence[Tensor], values: Sequence[Tensor]) -> tuple[int, ...]:
    """List the blocks that come out as one tensor with another, or as an input."""
    taken = {value.untyped_storage().data_ptr() for value in values}
    found: list[int] = []
    for k, block in enumerate(blocks):
        pointer = block.untyped_storage().data_ptr()
        if pointer in taken:
            found.append(k)
        taken.add(pointer)
    return tuple(found)


def _close(block: Tensor, right: Tensor) -> bool:
    """Compare a block with the eager one, by the scale of its largest entry."""
    if block.shape != right.shape or block.dtype != right.dtype:
        return False
    known = right[right.isfinite()].abs()
    scale = float(known.max()) if known.numel() else 0.0
    allowed = TOLERANCES[right.dtype].compiled * scale
    return torch.allclose(block, right, rtol=0.0, atol=allowed, equal_nan=True)


def _lifted(graph: GraphModule, place: dict[int, int]) -> list[int]:
    """Turn constants of a graph that are inputs into arguments; return those."""
    arguments: dict[int, torch.fx.Node] = {}
    nodes = list(graph.graph.nodes)
    first = next(node for node in nodes if node.op not in {"placeholder", "get_attr"})
    for node in nodes:
        if node.op != "get_attr":
            continue
        constant = getattr(graph, str(node.target), None)
        k = place.get(id(constant))
        if k is None:
            continue
        if k not in arguments:
            with graph.graph.inserting_before(first):
                arguments[k] = graph.graph.placeholder(f"held_{k}")
        node.replace_all_uses_with(arguments[k])
        graph.graph.erase_node(node)
    graph.recompile()
    return list(arguments)
