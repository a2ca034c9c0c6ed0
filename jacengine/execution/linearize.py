"""The points of a problem, as a sample policy makes them, and linear maps at them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

from jacengine._torchfunc import Function, Tensors, vmap
from jacengine.execution.method import Method
from jacengine.interface import LinearMap, Point, Strategy
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.seeding.samples import SamplePolicy, sample_slices


def points(
    problem: Problem, bound: BoundFunction, method: Method
) -> Iterator[tuple[Point, slice]]:
    """Yield where a method linearizes, and the samples of the result that gives."""
    slices = sample_slices(problem, method.sample_policy, method.slice_size)
    if method.gradient is not bound.gradient:
        bound = replace(bound, gradient=method.gradient)
    for samples in slices:
        some = bound
        if len(slices) > 1:
            some = bound.samples(samples.start, samples.stop)
        size = None if problem.batch_size is None else samples.stop - samples.start
        yield _point(problem, some, method.sample_policy, size), samples


def first_point(problem: Problem, bound: BoundFunction, method: Method) -> Point:
    """Return the first point that a method linearizes at."""
    return next(points(problem, bound, method))[0]


def linearize(strategy: Strategy, point: Point) -> LinearMap:
    """Linearize a strategy at a point, inside vmap over samples if need be.

    There shared inputs need no copies, but the forward pass is run again for every
    block of directions.
    """
    over_samples = point.over_samples
    if over_samples is None:
        return strategy.linearize(point)

    def of_one(function: Function, primals: Tensors, seeds: Tensors) -> Tensors:
        one = Point(function, function, primals, create_graph=point.create_graph)
        return strategy.linearize(one)(seeds)

    def linear_map(seeds: Tensors) -> Tensors:
        products = over_samples(of_one, point.primals, seeds)
        return tuple(product.transpose(0, 1) for product in products)

    return linear_map


def _point(
    problem: Problem, bound: BoundFunction, policy: SamplePolicy, size: int | None
) -> Point:
    """Make the point of a function on `size` samples."""
    primals = bound.primals(connected=problem.options.create_graph)
    function: Function = bound
    replicated = _copies(bound)
    own: Tensors | None = None
    if policy is SamplePolicy.EXPAND_SHARED:
        function = bound.per_sample()
        replicated = _copies(function)
        primals = tuple(
            p.expand(size or 1, *p.shape) if spec.batch_dim is None else p
            for p, spec in zip(primals, problem.inputs, strict=True)
        )
    elif policy is SamplePolicy.BATCHED and not problem.shares:
        replicated = _along_samples(bound)
    elif policy is not SamplePolicy.VMAP_SAMPLES:
        own = bound.own_parameters()
    apart = policy not in {SamplePolicy.UNBATCHED, SamplePolicy.COUPLED_ROWS}
    return Point(
        function=function,
        replicated=replicated,
        primals=primals,
        create_graph=problem.options.create_graph,
        own=own,
        module=bound.module if problem.call_spec.names else None,
        calling=lambda module: replace(bound, fn=module),
        names=problem.call_spec.names,
        batch_size=size if apart else None,
        call=bound,
        over_samples=(
            bound.over_samples if policy is SamplePolicy.VMAP_SAMPLES else None
        ),
    )


def _copies(function: Function) -> Function:
    """Evaluate `K` copies under vmap, which is built when it is used."""

    def replicated(*primals: Tensor) -> Tensors:
        outputs: Tensors = vmap(function)(*primals)
        return outputs

    return replicated


def _along_samples(bound: BoundFunction) -> Function:
    """Evaluate `K` copies as one batch of `K * B` samples, without vmap."""

    def replicated(*primals: Tensor) -> Tensors:
        count = primals[0].shape[0]
        outputs = bound.copies(count)(*(p.flatten(0, 1) for p in primals))
        return tuple(output.unflatten(0, (count, -1)) for output in outputs)

    return replicated
