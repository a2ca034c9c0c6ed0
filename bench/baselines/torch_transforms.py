"""Jacobians and Hessians by the transforms of `torch.func` and `autograd.functional`.

Unmapped, they treat a batch as one point, with a Jacobian `(B, O, B, I)` of mostly
zeros. For Jacobians by inputs users sum the outputs over the batch in reverse mode, or
shift all inputs together in forward mode; by parameters the Jacobian of the batch is
that of each sample. For Hessians they loop over samples. Under `vmap` the function is
written for one sample, with `in_dims=(None, 0)` for parameters, as in the PyTorch
tutorial on per-sample gradients.

Of a whole Hessian the diagonal or the trace is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import functional
from torch.func import hessian, jacfwd, jacrev, vmap
from torch.utils import _pytree as pytree

from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.baselines.memory_estimate import of_hessian, of_jacobian
from jacengine.bench.baselines.pure_function import PureFunction, select_part
from jacengine.bench.workload import DerivativeSpec, Workload
from jacengine.problem.quantity import SECOND_ORDER

Transform = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Maps a function to its derivative."""


def detached(result: Any) -> Any:
    """Detach all tensors of a result."""
    return pytree.tree_map(torch.Tensor.detach, result)


def _whole_batch(
    transform: Transform, forward: bool, _: Workload, spec: DerivativeSpec
) -> Prepared:
    """Transform the function of the whole batch to its Jacobian."""
    pure = PureFunction.of(spec)
    if pure.by_params or pure.batch_size is None:
        plain = transform(pure.of_primal)
        return Prepared(lambda: detached(plain(pure.primal)))
    if forward:
        # The derivative by an offset of all inputs, at zero, is that of each sample.
        shifted = transform(lambda offset: pure.of_primal(pure.primal + offset))
        zero = torch.zeros_like(pure.primal[0])
        return Prepared(lambda: detached(shifted(zero)))
    # The gradient of the sum by the input of a sample is that of the sample alone.
    summed = transform(lambda primal: pure.of_primal(primal).sum(0))
    batch_axis = -pure.primal.ndim
    return Prepared(lambda: detached(summed(pure.primal)).movedim(batch_axis, 0))


def _mapped(transform: Transform, _: Workload, spec: DerivativeSpec) -> Prepared:
    """Transform the function of one sample, and map it over the batch."""
    pure = PureFunction.of(spec)
    part = select_part(transform(pure.one_sample), spec.quantity)
    batched = vmap(part, in_dims=pure.in_dims)
    return Prepared(lambda: detached(batched(pure.primal, *pure.rest)))


def _looped(transform: Transform, _: Workload, spec: DerivativeSpec) -> Prepared:
    """Transform the function of one sample, and loop over the samples."""
    pure = PureFunction.of(spec)
    part = select_part(transform(pure.one_sample), spec.quantity)

    def run() -> Any:
        if pure.batch_size is None:
            return detached(part(pure.primal, *pure.rest))
        samples = (part(*sample) for sample in pure.samples())
        return detached(pytree.tree_map(lambda *same: torch.stack(same), *samples))

    return Prepared(run)


def _of_tensors(derivative: Callable[..., Any], **options: Any) -> Transform:
    """Make a transform of a derivative in `autograd.functional`, by tuples of tensors.

    The transform is by one tensor or a dict of them, and nests blocks accordingly.
    """

    def transform(fn: Callable[..., Any]) -> Callable[..., Any]:
        def derived(primal: Any, *rest: Any) -> Any:
            tensors, structure = pytree.tree_flatten(primal)

            def of_tensors(*tensors: Tensor) -> Any:
                return fn(pytree.tree_unflatten(tensors, structure), *rest)

            blocks = derivative(of_tensors, tuple(tensors), **options)
            return _nested(blocks, structure)

        return derived

    return transform


def _nested(blocks: Any, structure: pytree.TreeSpec) -> Any:
    if isinstance(blocks, Tensor):
        return blocks
    return pytree.tree_unflatten([_nested(b, structure) for b in blocks], structure)


def _single_hessian(
    fn: Callable[..., Any], tensors: tuple[Tensor, ...], *, vectorize: bool = False
) -> Any:
    """Compute the Hessian of a single output, and add the axes of that output."""
    out_shape = torch.Size()

    def recorded(*args: Tensor) -> Tensor:
        nonlocal out_shape
        output: Tensor = fn(*args)
        out_shape = output.shape
        return output

    H = functional.hessian(recorded, tensors, vectorize=vectorize)
    return pytree.tree_map(lambda block: block.reshape(*out_shape, *block.shape), H)


def _reason_no_samples(_: Workload, spec: DerivativeSpec) -> str | None:
    if spec.batch_dim is None:
        return "one point: there are no samples to map over"
    return None


def _jacobian(
    name: str,
    source: str,
    transform: Transform,
    *,
    forward: bool = False,
    mapped: bool = False,
    at_once: bool = True,
) -> Baseline:
    whole = partial(_whole_batch, transform, forward)
    estimate = partial(of_jacobian, forward=forward, mapped=mapped)
    return Baseline(
        name,
        source,
        partial(_mapped, transform) if mapped else whole,
        reason_inapplicable=_reason_no_samples if mapped else None,
        reason_too_large=estimate if at_once else None,
    )


def _hessian(
    name: str,
    source: str,
    transform: Transform,
    count: Callable[[PureFunction], int] | None,
    *,
    mapped: bool = False,
) -> Baseline:
    return Baseline(
        name,
        source,
        partial(_mapped if mapped else _looped, transform),
        SECOND_ORDER,
        reason_inapplicable=_reason_no_samples if mapped else None,
        reason_too_large=count and partial(of_hessian, count=count, looped=not mapped),
    )


def _reverse_twice(fn: Callable[..., Any]) -> Callable[..., Any]:
    return jacrev(jacrev(fn))


def _forward_twice(fn: Callable[..., Any]) -> Callable[..., Any]:
    return jacfwd(jacfwd(fn))


def _inputs(pure: PureFunction) -> int:
    return pure.in_size


def _inputs_by_outputs(pure: PureFunction) -> int:
    return pure.in_size * pure.out_shape.numel()


def _pairs_of_inputs(pure: PureFunction) -> int:
    return pure.in_size**2


_LOOP = _of_tensors(functional.jacobian)
_REVERSE = _of_tensors(functional.jacobian, vectorize=True)
_FORWARD = _of_tensors(functional.jacobian, vectorize=True, strategy="forward-mode")
_HESSIAN = _of_tensors(_single_hessian)
_HESSIAN_AT_ONCE = _of_tensors(_single_hessian, vectorize=True)
_AUTOGRAD = "torch.autograd.functional documentation"
_FUNC = "torch.func documentation"
_PER_SAMPLE = "PyTorch tutorial: Jacobians, per-sample-gradients"
TUTORIAL = "PyTorch tutorial: Jacobians, Hessians, hvp, vhp, and more"

JACOBIANS: tuple[Baseline, ...] = (
    _jacobian("functional.jacobian", _AUTOGRAD, _LOOP, at_once=False),
    _jacobian("functional.jacobian(vectorize)", _AUTOGRAD, _REVERSE),
    _jacobian("functional.jacobian(forward-mode)", _AUTOGRAD, _FORWARD, forward=True),
    _jacobian("torch.func.jacrev", _FUNC, jacrev),
    _jacobian("torch.func.jacfwd", _FUNC, jacfwd, forward=True),
    _jacobian("vmap(jacrev)", _PER_SAMPLE, jacrev, mapped=True),
    _jacobian("vmap(jacfwd)", _PER_SAMPLE, jacfwd, forward=True, mapped=True),
)
HESSIANS: tuple[Baseline, ...] = (
    _hessian("functional.hessian", _AUTOGRAD, _HESSIAN, None),
    _hessian("functional.hessian(vectorize)", _AUTOGRAD, _HESSIAN_AT_ONCE, _inputs),
    _hessian("torch.func.hessian", _FUNC, hessian, _inputs_by_outputs),
    _hessian("jacrev(jacrev)", _FUNC, _reverse_twice, _inputs_by_outputs),
    *(
        _hessian(f"vmap({name})", TUTORIAL, transform, count, mapped=True)
        for name, transform, count in (
            ("hessian", hessian, _inputs_by_outputs),
            ("jacrev(jacrev)", _reverse_twice, _inputs_by_outputs),
            ("jacfwd(jacfwd)", _forward_twice, _pairs_of_inputs),
        )
    ),
)
