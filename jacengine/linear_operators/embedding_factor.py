"""The block of an embedding: cotangents, and the rows of the table that they belong to.

A table of `v` rows has a block of `s * k * v` of them, of which a sample touches as
many as it has positions; the others are never formed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from jacengine.layers.linear import scattered
from jacengine.linear_operators.factors import PART, Products
from jacengine.task import balanced


@dataclass(frozen=True)
class EmbeddingFactor:
    """A block where position `n` adds to one row of the parameter.

    Attributes:
        index: Which, `(s, n)`.
        values: What it adds, `(s, k, n, e)`.
        shape: The parameter's, `(v, e)`.
    """

    index: Tensor
    values: Tensor
    shape: tuple[int, ...]

    def push(self, tangent: Tensor) -> Tensor:
        """Multiply with `(p, m)`."""
        rows = tangent.view(*self.shape, tangent.shape[-1])[self.index]
        return torch.einsum("skne,snem->skm", self.values, rows)

    def pull(self, cotangent: Tensor) -> Tensor:
        """Multiply the transpose with `(s, k, m)`."""
        back = torch.einsum("skne,skm->snem", self.values, cotangent)
        return self._summed(back).flatten(0, 1)

    def add_gram(self, total: Tensor, products: Products) -> None:
        """Add the product with the transpose, over the rows that are touched at all."""
        used, index = self.index.unique(return_inverse=True)
        samples, directions, _, width = self.values.shape
        step = max(1, PART // max(1, samples * directions * width))
        for part in balanced(used.numel(), step):
            outside = (index < part.start) | (index >= part.stop)
            values = self.values.masked_fill(outside[:, None, :, None], 0)
            here = (index - part.start).masked_fill(outside, 0)
            block = scattered(here, values, part.stop - part.start, None)
            flat = block.flatten(2).flatten(0, 1)
            total += (flat @ flat.T).view(total.shape)

    def squares(self) -> Tensor:
        """Return the squared norm of every row."""
        return (self._met() * self.values).sum((-1, -2))

    def column_squares(self) -> Tensor:
        """Return the squared norm of every column."""
        # What positions of a sample add to one row is met at each of them.
        shares = self._met().square().sum(1) / self._same().sum(-1, keepdim=True)
        return self._summed(shares).flatten()

    def dense(self, out: Tensor | None, samples: slice) -> Tensor:
        """Form the rows of some samples."""
        return scattered(self.index[samples], self.values[samples], self.shape[0], out)

    def _same(self) -> Tensor:
        """Tell which positions of a sample add to the same row, `(s, n, n)`."""
        return self.index.unsqueeze(-1) == self.index.unsqueeze(-2)

    def _met(self) -> Tensor:
        """Return what is in its row all in all, at each position, `(s, k, n, e)`."""
        return self._same().to(self.values.dtype).unsqueeze(1) @ self.values

    def _summed(self, parts: Tensor) -> Tensor:
        """Add `(s, n, ...)` to the rows that they belong to."""
        total = parts.new_zeros(self.shape[0], *parts.shape[2:])
        return total.index_add(0, self.index.flatten(), parts.flatten(0, 1))
