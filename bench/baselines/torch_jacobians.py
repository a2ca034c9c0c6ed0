"""Jacobians by `torch.autograd.functional.jacobian`, `torch.func.jacrev` and `jacfwd`.

Unmapped, they treat a batch as one point, with a Jacobian `(B, O, B, I)` of mostly
zeros. For inputs users sum the outputs over the batch in reverse mode, or shift all
inputs together in forward mode; by parameters the Jacobian of the batch is that of each
sample. Under `vmap` the function is written for one sample, with `in_dims=(None, 0)`
for parameters, as in the PyTorch tutorial on per-sample gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import functional
from torch.func import jacfwd, jacrev, vmap
from torch.utils import _pytree as pytree

from jacengine.bench.baselines import memory_estimate
from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.baselines.hessian_parts import select_part
from jacengine.bench.baselines.pure_function import PureFunction
from jacengine.bench.workload import DerivativeSpec, Workload

Transform = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Maps a function to its derivative."""


def detached(result: Any) -> Any:
    """Detach all tensors of a result."""
    return pytree.tree_map(torch.Tensor.detach, result)


def reason_no_samples(_: Workload, spec: DerivativeSpec) -> str | None:
    """Return why `vmap` does not apply, if it does not."""
    if spec.batch_dim is None:
        return "one point: there are no samples to map over"
    return None


def of_tensors(derivative: Callable[..., Any], **options: Any) -> Transform:
    """Make a transform of `torch.autograd.functional`, which accepts no dicts.

    Args:
        derivative: Maps a function and its tensors to blocks, nested as tuples.
        options: Its keyword arguments.

    Returns:
        The transform; parameters and blocks are named.
    """

    def transform(fn: Callable[..., Any]) -> Callable[..., Any]:
        def derived(primal: Any, *rest: Any) -> Any:
            if not isinstance(primal, dict):
                return derivative(lambda x: fn(x, *rest), primal, **options)
            names, tensors = zip(*primal.items(), strict=True)

            def by_name(*tensors: Tensor) -> Any:
                return fn(dict(zip(names, tensors, strict=True)), *rest)

            return _named(derivative(by_name, tensors, **options), names)

        return derived

    return transform


def _named(blocks: Any, names: tuple[str, ...]) -> Any:
    if isinstance(blocks, Tensor):
        return blocks
    return {n: _named(block, names) for n, block in zip(names, blocks, strict=True)}


def _whole_batch(
    transform: Transform, forward: bool, _: Workload, spec: DerivativeSpec
) -> Prepared:
    """Transform the function of the whole batch."""
    pure = PureFunction.of(spec)
    if pure.by_params or pure.batch_size is None:
        plain = transform(pure.of_primal)
        return Prepared(lambda: detached(plain(pure.primal)))
    if forward:
        shifted, zero = transform(pure.shifted), torch.zeros_like(pure.primal[0])
        return Prepared(lambda: detached(shifted(zero)))
    summed, batch_axis = transform(pure.summed), -pure.primal.ndim
    return Prepared(lambda: detached(summed(pure.primal)).movedim(batch_axis, 0))


def mapped(transform: Transform, _: Workload, spec: DerivativeSpec) -> Prepared:
    """Transform the function of one sample, and map it over the batch."""
    pure = PureFunction.of(spec)
    part = select_part(transform(pure.one_sample), spec.quantity)
    batched = vmap(part, in_dims=pure.in_dims)
    return Prepared(lambda: detached(batched(pure.primal, *pure.rest)))


def _whole(
    name: str, transform: Transform, *, forward: bool = False, batched: bool = True
) -> Baseline:
    module = "torch.func" if name.startswith("torch") else "torch.autograd.functional"
    estimate = partial(memory_estimate.of_jacobian, forward=forward, mapped=False)
    return Baseline(
        name,
        f"{module} documentation",
        partial(_whole_batch, transform, forward),
        memory=estimate if batched else None,
    )


def _vmap(name: str, transform: Transform, *, forward: bool = False) -> Baseline:
    return Baseline(
        name,
        "PyTorch tutorial: Jacobians, per-sample-gradients",
        partial(mapped, transform),
        reason_inapplicable=reason_no_samples,
        memory=partial(memory_estimate.of_jacobian, forward=forward, mapped=True),
    )


_loop = of_tensors(functional.jacobian)
_reverse = of_tensors(functional.jacobian, vectorize=True)
_forward = of_tensors(functional.jacobian, vectorize=True, strategy="forward-mode")

JACOBIANS: tuple[Baseline, ...] = (
    _whole("functional.jacobian", _loop, batched=False),
    _whole("functional.jacobian(vectorize)", _reverse),
    _whole("functional.jacobian(forward-mode)", _forward, forward=True),
    _whole("torch.func.jacrev", jacrev),
    _whole("torch.func.jacfwd", jacfwd, forward=True),
    _vmap("vmap(jacrev)", jacrev),
    _vmap("vmap(jacfwd)", jacfwd, forward=True),
)
"""In the order in which tables show them."""
