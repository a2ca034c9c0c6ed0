"""Second derivatives by PyTorch without its transforms: two gradients, or products."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from torch.func import grad, jvp, vmap
from torch.utils import _pytree as pytree

from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.baselines.memory_estimate import of_hessian
from jacengine.bench.baselines.pure_function import PureFunction
from jacengine.bench.baselines.torch_transforms import TUTORIAL, detached
from jacengine.bench.workload import DerivativeSpec, Workload
from jacengine.errors import UnsupportedError
from jacengine.problem.quantity import SECOND_ORDER


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


def _largest_parameter(pure: PureFunction) -> int:
    sizes = [p.numel() for p in pure.primal.values()] if pure.by_params else []
    return max(sizes, default=pure.in_size)


GRAD_TWICE = Baseline(
    "grad(grad.sum())",
    "PyTorch forum and DeepXDE",
    _grad_twice,
    SECOND_ORDER,
    reason_inapplicable=_reason_grad_twice,
)
MAPPED_HVP = Baseline(
    "vmap(hvp)",
    TUTORIAL,
    _mapped_hvp,
    frozenset({"hessian_diagonal", "laplacian"}),
    reason_too_large=partial(of_hessian, count=_largest_parameter, looped=False),
)
