"""Jacobian and Hessian operators as linear operators of curvlinops."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from jacengine.linear_operators.jacobian_operator import JacobianOperator

try:
    from curvlinops._torch_base import (  # type: ignore[import-untyped]
        PyTorchLinearOperator,
    )
except ImportError as error:
    raise ImportError(
        f"jacengine.integrations.curvlinops needs curvlinops ({error}). Install it with"
        " pip install curvlinops-for-pytorch."
    ) from error


def as_linear_operator(operator: JacobianOperator) -> PyTorchLinearOperator:
    """Return an operator for the solvers and estimators of curvlinops.

    It multiplies with tensors and with lists of tensors, of the shapes of the inputs
    (or parameters) and of the outputs that `operator` is of, with samples first. Rows
    and columns are ordered likewise, one tensor after the other, so that a Hessian is
    symmetric also where there are samples and several inputs.

    Args:
        operator: What `jacengine.operator` returns, of either quantity.

    Returns:
        A `PyTorchLinearOperator`, with `adjoint()` and `to_scipy()`.

    Examples:
        >>> import torch, jacengine
        >>> from curvlinops import hutchinson_trace
        >>> from jacengine.integrations.curvlinops import as_linear_operator
        >>> H = jacengine.operator(
        ...     lambda x: x.square().sum(), torch.randn(9), quantity="hessian")
        >>> hutchinson_trace(as_linear_operator(H), num_matvecs=4)
        tensor(18.)
    """
    return _Jacobian(operator)


class _Jacobian(PyTorchLinearOperator):  # type: ignore[misc]
    """J, or its transpose."""

    def __init__(self, operator: JacobianOperator, *, transposed: bool = False) -> None:
        self._operator, self._transposed = operator, transposed
        shapes = [list(operator.in_shapes), list(operator.out_shapes)]
        super().__init__(*reversed(shapes) if transposed else shapes)

    @property
    def device(self) -> torch.device:
        """The device of products."""
        return self._operator.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of products."""
        return self._operator.dtype

    def _matmat(self, X: list[Tensor]) -> list[Tensor]:
        op = self._operator
        if self._transposed:
            product = op.pull(_by_samples(X, op.batch_size))
            return _by_tensors(product, self._out_shape, None)
        product = op @ _by_samples(X, None)
        return _by_tensors(product, self._out_shape, op.batch_size)

    def _adjoint(self) -> PyTorchLinearOperator:
        return _Jacobian(self._operator, transposed=not self._transposed)


def _by_samples(tensors: list[Tensor], samples: int | None) -> Tensor:
    """Put tensors `(*shape, m)` into one `(N, m)`, by samples if there are any."""
    columns = tensors[0].shape[-1]
    parts = [tensor.reshape(samples or 1, -1, columns) for tensor in tensors]
    return torch.cat(parts, dim=1).flatten(0, 1)


def _by_tensors(
    product: Tensor, shapes: Sequence[torch.Size], samples: int | None
) -> list[Tensor]:
    """Take one `(N, m)` apart again."""
    apart = product.unflatten(0, (samples or 1, -1))
    sizes = [math.prod(shape) // (samples or 1) for shape in shapes]
    pairs = zip(apart.split(sizes, dim=1), shapes, strict=True)
    return [part.reshape(*shape, product.shape[-1]) for part, shape in pairs]
