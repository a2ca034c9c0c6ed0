"""What an operator is multiplied with, checked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from jacengine.errors import ArgumentError, InputTypeError, kind_of, to_tensor_advice


def apply_product(
    product: Callable[[Tensor], Tensor],
    vectors: object,
    length: int,
    what: str,
    *,
    rows: bool = False,
) -> Tensor:
    """Multiply a vector, or several.

    Args:
        product: Multiplies columns, `(length, m)`.
        vectors: `(length,)`, or `(length, m)`; the vectors are `rows` of `(m, length)`
            where they are on the left of the matrix.
        length: What the matrix needs.
        what: The product, in words.
        rows: See `vectors`.

    Raises:
        ArgumentError: They have another length.
        InputTypeError: They are no tensor.
    """
    if not isinstance(vectors, Tensor):
        array = isinstance(vectors, np.ndarray)
        advice = " op.linear_operator() multiplies with arrays." if array else ""
        raise InputTypeError(
            f"{what} expects a tensor, got {kind_of(vectors)}."
            f"{to_tensor_advice(vectors)}{advice}"
        )
    if vectors.dim() not in {1, 2} or vectors.shape[-1 if rows else 0] != length:
        many = f"(m, {length})" if rows else f"({length}, m)"
        raise ArgumentError(
            f"{what} got a tensor of shape {tuple(vectors.shape)}; expected "
            f"({length},) or {many}."
        )
    if vectors.dim() == 1:
        return product(vectors.unsqueeze(1)).squeeze(1)
    return product(vectors.T).T if rows else product(vectors)
