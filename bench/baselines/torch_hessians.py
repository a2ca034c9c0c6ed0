"""Second derivatives by PyTorch: nested transforms, two gradients, Hessian products.

Nested transforms compute the whole Hessian, of which a diagonal or a trace is taken.
Unmapped, they treat a batch as one point with a Hessian of mostly zeros, so users loop
over samples.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import functional
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap
from torch.utils import _pytree as pytree

from jacengine.bench.baselines import memory_estimate
from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.baselines.hessian_parts import select_part
from jacengine.bench.baselines.pure_function import PureFunction
from jacengine.bench.baselines.torch_jacobians import (
    Transform,
    detached,
    mapped,
    of_tensors,
    reason_no_samples,
)
from jacengine.bench.workload import DerivativeSpec, Workload
from jacengine.errors import UnsupportedError
from jacengine.problem.quantity import SECOND_ORDER


def _reverse_twice(fn: Callable[..., Any]) -> Callable[..., Any]:
    return jacrev(jacrev(fn))


def _forward_twice(fn: Callable[..., Any]) -> Callable[..., Any]:
    return jacfwd(jacfwd(fn))


def _functional(fn: Callable[..., Any], *, vectorize: bool) -> Callable[..., Any]:
    """Compute the Hessian of a single output, and add the axes of that output."""
    out_shape = torch.Size()

    def recorded(*args: Any) -> Tensor:
        nonlocal out_shape
        output: Tensor = fn(*args)
        out_shape = output.shape
        return output

    derived = of_tensors(functional.hessian, vectorize=vectorize)(recorded)

    def with_output_axes(*args: Any) -> Any:
        H = derived(*args)
        return pytree.tree_map(lambda block: block.reshape(*out_shape, *block.shape), H)

    return with_output_axes


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


def _reason_grad_twice(_: Workload, spec: DerivativeSpec) -> str | None:
    if spec.wrt == "params" or spec.batch_dim is None:
        return "no inputs of samples: it would be the double loop"
    return None


def _grad_twice(_: Workload, spec: DerivativeSpec) -> Prepared:
    """Compute gradients of sums over the samples, then of each entry of those.

    The gradient of the sum is that of each sample, as users of physics-informed
    networks know: https://deepxde.readthedocs.io/en/latest/modules/deepxde.gradients.html

    Raises:
        UnsupportedError: A sample has several outputs.
    """
    pure = PureFunction.of(spec)
    if pure.out_shape.numel() != 1:
        raise UnsupportedError("a sample has several outputs, which sums would mix")
    lead = (len(pure.primal), *pure.out_shape)
    inner = pure.primal.shape[1:]

    def run() -> Tensor:
        x = pure.primal.detach().requires_grad_()
        gradients = torch.autograd.grad(pure.of_primal(x).sum(), x, create_graph=True)
        rows = (
            torch.autograd.grad(entry, x, retain_graph=True)[0].flatten(1)
            for entry in gradients[0].flatten(1).sum(0)
        )
        if spec.quantity == "hessian":
            return torch.stack(list(rows), 1).reshape(*lead, *inner, *inner)
        diagonal = torch.stack([row[:, i] for i, row in enumerate(rows)], 1)
        if spec.quantity == "laplacian":
            return diagonal.sum(1).reshape(lead)
        return diagonal.reshape(*lead, *inner)

    return Prepared(run)


def _mapped_hvp(_: Workload, spec: DerivativeSpec) -> Prepared:
    """Compute Hessian-vector products along all axes of all samples at once.

    The entry of a product along its direction is one of the diagonal (B. Pearlmutter,
    Fast exact multiplication by the Hessian, 1994). For parameters the axes of each one
    are taken with the others fixed: off-diagonal blocks are not computed.
    """
    pure = PureFunction.of(spec)
    out = pure.out_shape

    def diagonals(primal: Any, *rest: Any) -> Any:
        if not isinstance(primal, dict):
            return _hessian_diagonal(lambda x: pure.one_sample(x, *rest), primal)
        named = cast("dict[str, Tensor]", primal)

        def of(name: str) -> Callable[[Tensor], Tensor]:
            return lambda x: pure.one_sample({**named, name: x}, *rest)

        return {name: _hessian_diagonal(of(name), x) for name, x in named.items()}

    def part(primal: Any, *rest: Any) -> Any:
        blocks = diagonals(primal, *rest)
        if spec.quantity == "laplacian":
            sums = [block.sum() for block in pytree.tree_leaves(blocks)]
            return torch.stack(sums).sum().reshape(out)
        return pytree.tree_map(lambda block: block.reshape(*out, *block.shape), blocks)

    if pure.batch_size is not None:
        part = vmap(part, in_dims=pure.in_dims)
    return Prepared(lambda: detached(part(pure.primal, *pure.rest)))


def _hessian_diagonal(fn: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the second derivative along each axis, `(*in)`."""
    gradient = grad(lambda x: fn(x).reshape(()))

    def along(axis: Tensor) -> Tensor:
        product = cast("Tensor", jvp(gradient, (x,), (axis,))[1])
        return (product * axis).sum()

    axes = torch.eye(x.numel(), dtype=x.dtype, device=x.device)
    return vmap(along)(axes.reshape(-1, *x.shape)).reshape(x.shape)


def _inputs(pure: PureFunction) -> int:
    return pure.in_size


def _inputs_by_outputs(pure: PureFunction) -> int:
    return pure.in_size * pure.out_shape.numel()


def _pairs_of_inputs(pure: PureFunction) -> int:
    return pure.in_size**2


def _largest_parameter(pure: PureFunction) -> int:
    sizes = [p.numel() for p in pure.primal.values()] if pure.by_params else []
    return max(sizes, default=pure.in_size)


_Count = Callable[[PureFunction], int]
"""Counts the directions that are propagated together."""
_TUTORIAL = "PyTorch tutorial: Jacobians, Hessians, hvp, vhp, and more"


def _loop(
    name: str, module: str, transform: Transform, count: _Count | None
) -> Baseline:
    estimate = count and partial(memory_estimate.of_hessian, count=count, looped=True)
    prepare, source = partial(_looped, transform), f"{module} documentation"
    return Baseline(name, source, prepare, SECOND_ORDER, memory=estimate)


def _vmap(name: str, transform: Transform, count: _Count) -> Baseline:
    return Baseline(
        name,
        _TUTORIAL,
        partial(mapped, transform),
        SECOND_ORDER,
        reason_inapplicable=reason_no_samples,
        memory=partial(memory_estimate.of_hessian, count=count, looped=False),
    )


_functional_loop = partial(_functional, vectorize=False)
_functional_batched = partial(_functional, vectorize=True)
_AUTOGRAD, _FUNC = "torch.autograd.functional", "torch.func"

HESSIANS: tuple[Baseline, ...] = (
    Baseline(
        "grad(grad.sum())",
        "PyTorch forum and DeepXDE",
        _grad_twice,
        SECOND_ORDER,
        reason_inapplicable=_reason_grad_twice,
    ),
    _loop("functional.hessian", _AUTOGRAD, _functional_loop, None),
    _loop("functional.hessian(vectorize)", _AUTOGRAD, _functional_batched, _inputs),
    _loop("torch.func.hessian", _FUNC, hessian, _inputs_by_outputs),
    _loop("jacrev(jacrev)", _FUNC, _reverse_twice, _inputs_by_outputs),
    _vmap("vmap(hessian)", hessian, _inputs_by_outputs),
    _vmap("vmap(jacrev(jacrev))", _reverse_twice, _inputs_by_outputs),
    _vmap("vmap(jacfwd(jacfwd))", _forward_twice, _pairs_of_inputs),
    Baseline(
        "vmap(hvp)",
        _TUTORIAL,
        _mapped_hvp,
        frozenset({"hessian_diagonal", "laplacian"}),
        memory=partial(
            memory_estimate.of_hessian, count=_largest_parameter, looped=False
        ),
    ),
)
"""In the order in which tables show them."""
