"""A matrix that is known by its products, and what follows from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from jacengine.basis import one_hot
from jacengine.task import balanced

PART = 2**24
"""Entries of J that are formed at a time, where rows have to be."""


class ImplicitMatrix(ABC):
    """A matrix `(M, N)` known by its products.

    Attributes:
        shape: `(M, N)`.
        like: A tensor of its dtype and device.
        differentiable: Whether products can be differentiated.
    """

    def __init__(
        self, shape: tuple[int, int], like: Tensor, *, differentiable: bool
    ) -> None:
        """Describe the matrix."""
        self.shape = shape
        self.like = like
        self.differentiable = differentiable

    @abstractmethod
    def push(self, tangents: Tensor) -> Tensor:
        """Multiply with `(N, m)`; returns `(M, m)`."""

    @abstractmethod
    def pull(self, cotangents: Tensor) -> Tensor:
        """Multiply the transpose with `(M, m)`; returns `(N, m)`."""

    def parts(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield blocks of rows: which they are, and their entries `(rows, N)`."""
        count, width = self.shape
        row = self.like.new_empty(()).expand(count)
        for part in balanced(count, max(1, PART // max(1, width))):
            (seeds,) = one_hot([row], range(part.start, part.stop))
            yield part, self.pull(seeds.T).T

    def gram(self) -> Tensor:
        """Return `J J^T`, `(M, M)`."""
        found = [self.push(rows.T) for _, rows in self.parts()]
        return torch.cat(found, dim=1)

    def normal(self) -> Tensor:
        """Return `J^T J`, `(N, N)`."""
        total = self.like.new_zeros(self.shape[1], self.shape[1])
        for _, rows in self.parts():
            total = total + rows.T @ rows
        return total

    def row_squares(self) -> Tensor:
        """Return the squared norms of the rows, `(M,)`."""
        return torch.cat([rows.square().sum(1) for _, rows in self.parts()])

    def column_squares(self) -> Tensor:
        """Return the squared norms of the columns, `(N,)`."""
        total = self.like.new_zeros(self.shape[1])
        for _, rows in self.parts():
            total = total + rows.square().sum(0)
        return total
