"""The one loop: seeds to products to their places in J."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from jacengine import batching
from jacengine._torchfunc import Tensors
from jacengine.assembly import Assembly, check_products
from jacengine.batching import Batching
from jacengine.call import Call
from jacengine.interface import (
    Action,
    Contract,
    Contraction,
    Point,
    Pullback,
    Pushforward,
    Strategy,
)
from jacengine.method import Method
from jacengine.problem import Problem
from jacengine.scopes import entered
from jacengine.state import preserved, reachable_modules

_FORWARD_MODE = threading.RLock()
"""Held by strategies that torch cannot run in several threads at once (2.13: wrong
values and crashes with forward-mode AD)."""


def accumulate(
    problem: Problem,
    call: Call,
    method: Method,
    *,
    out: Any = None,
    progress: Callable[[float], None] | None = None,
    checked: bool = False,
) -> list[list[Tensor]]:
    """Compute a Jacobian by one method.

    Args:
        problem: What to compute.
        call: The function at the arguments to compute it at.
        method: How.
        out: Preallocated result, nested as the user has it, to write into.
        progress: Told the share that is done after each block; may raise to stop.
        checked: Whether to hold the strategy's products to their shapes.

    Returns:
        The blocks of the Jacobian, outputs by inputs; `assembly.nest` nests them.

    Raises:
        StrategyError: `checked` found products of other shapes than there should be.
    """
    seeding = batching.seeding(problem, method.strategy, method.batching)
    with _settled(problem, call, method) as ready:
        assembly = Assembly(
            problem,
            joint=method.batching is Batching.JOINT,
            out=out,
            keep=_owned(problem, ready),
        )
        for point, samples in batching.points(problem, ready, method.batching):
            action = _linearize(method.strategy, point)
            for block in seeding.blocks(method.block_size):
                seeds = seeding.seeds(block)
                into = None
                if isinstance(method.strategy, Contraction):
                    into = assembly.rows_view(samples, block)
                    products = cast("Contract", action)(seeds, into)
                else:
                    products = action(seeds)
                if checked:
                    shapes = _shapes(problem, method.strategy, point)
                    count = block.stop - block.start
                    check_products(products, [(count, *shape) for shape in shapes])
                if isinstance(method.strategy, Pushforward):
                    assembly.put_columns(samples, block, products)
                elif into is None:
                    assembly.put_rows(samples, block, products)
                if progress is not None:
                    before = samples.start * seeding.count
                    here = (samples.stop - samples.start) * block.stop
                    progress((before + here) / max(1, problem.sample_count * seeding.count))
        return assembly.finish()


def prepared(problem: Problem, call: Call, method: Method) -> Method:
    """Let a strategy do once what it can do for all calls of one signature."""
    if not isinstance(method.strategy, Contraction):
        return method
    with _settled(problem, call, method) as ready:
        point, _ = next(batching.points(problem, ready, method.batching))
        return replace(method, strategy=method.strategy.prepare(point))


def pull_all_samples(
    problem: Problem, call: Call, method: Method, cotangents: Tensors
) -> Tensors:
    """Pull one cotangent `(B, *out)` back by a method that takes samples together.

    Returns:
        One product an input, `(B, *in)`.
    """
    with _settled(problem, call, method) as ready:
        point, _ = next(batching.points(problem, ready, method.batching))
        action = _linearize(method.strategy, point)
        products = action(tuple(c.unsqueeze(0) for c in cotangents))
        return tuple(product.squeeze(0) for product in products)


def _linearize(strategy: Strategy, point: Point) -> Action:
    assert isinstance(strategy, Pushforward | Pullback | Contraction)
    return strategy.linearize(point)


def _shapes(
    problem: Problem, strategy: Strategy, point: Point
) -> list[tuple[int, ...]]:
    """Shapes of a strategy's products, without the axis of directions."""
    samples = () if point.batch_size is None else (point.batch_size,)
    if isinstance(strategy, Pushforward):
        return [(*samples, *leaf.shape) for leaf in problem.outputs]
    if isinstance(strategy, Contraction):
        return [(*samples, *leaf.shape) for leaf in problem.inputs]
    return [tuple(primal.shape) for primal in point.primals]


def _owned(problem: Problem, call: Call) -> Tensors:
    """Tensors of the user's whose memory the result must not share."""
    modules = reachable_modules(problem.fn)
    held = [t for m in modules for t in (*m.parameters(), *m.buffers())]
    return (*held, *(leaf for leaf in call.leaves if isinstance(leaf, Tensor)))


@contextlib.contextmanager
def _settled(problem: Problem, call: Call, method: Method) -> Iterator[Call]:
    """Hold every setting that a method needs, and leave no trace."""
    forward_mode = contextlib.nullcontext() if method.strategy.thread_safe else _FORWARD_MODE
    with contextlib.ExitStack() as stack:
        stack.enter_context(forward_mode)
        stack.enter_context(torch.inference_mode(mode=False))
        recording = method.strategy.records_graph or problem.options.create_graph
        stack.enter_context(torch.set_grad_enabled(mode=recording))
        stack.enter_context(entered(method.scopes))
        state = stack.enter_context(preserved(problem.devices, problem.stateful))
        changes = problem.stochastic or problem.stateful
        yield replace(call, reset=state.restore) if changes else call
