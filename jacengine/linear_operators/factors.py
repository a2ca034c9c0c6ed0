"""The blocks of J by parameter, as factors that are never multiplied out.

Rows are pairs of a sample `s` and an output entry `k`. Formulas and costs: R. Novak,
J. Sohl-Dickstein, S. Schoenholz, "Fast finite width neural tangent kernel", 2022,
https://arxiv.org/abs/2206.08720 (structured derivatives); Z. Bu, J. Mao, S. Xu, 2022,
https://arxiv.org/abs/2205.10683 (ghost norms).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from jacengine.layers.linear import outer
from jacengine.task import balanced

PART = 2**24
"""Entries of a block that are formed at a time, where part of it has to be."""


class Products:
    """Products of all pairs of rows, each formed once.

    The weight and the bias of a layer have the same cotangents.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._known: dict[tuple[object, ...], Tensor] = {}

    def of(self, rows: Tensor) -> Tensor:
        """Multiply rows `(s, k, p)` with each other; returns `(s, k, s, k)`."""
        key = (rows.data_ptr(), rows.shape, rows.stride())
        if key not in self._known:
            flat = rows.flatten(0, 1)
            self._known[key] = (flat @ flat.T).view(*rows.shape[:2], *rows.shape[:2])
        return self._known[key]


class Factor(Protocol):
    """The block of one parameter, `(s, k, *param)`; `m` vectors at a time."""

    def push(self, tangent: Tensor) -> Tensor:
        """Multiply with `(p, m)`; returns `(s, k, m)`."""
        ...

    def pull(self, cotangent: Tensor) -> Tensor:
        """Multiply the transpose with `(s, k, m)`; returns `(p, m)`."""
        ...

    def add_gram(self, total: Tensor, products: Products) -> None:
        """Add the product with the transpose to `(s, k, s, k)`."""
        ...

    def squares(self) -> Tensor:
        """Return the squared norm of every row, `(s, k)`."""
        ...

    def column_squares(self) -> Tensor:
        """Return the squared norm of every column, `(p,)`."""
        ...

    def dense(self, out: Tensor | None, samples: slice) -> Tensor:
        """Form the rows of some samples, `(samples, k, *param)`, in `out` if given."""
        ...


@dataclass(frozen=True)
class Dense:
    """A block that has no factors, or none worth keeping.

    Attributes:
        block: `(s, k, *param)`.
    """

    block: Tensor

    def push(self, tangent: Tensor) -> Tensor:
        """Multiply with `(p, m)`."""
        return self._flat() @ tangent

    def pull(self, cotangent: Tensor) -> Tensor:
        """Multiply the transpose with `(s, k, m)`."""
        return self._rows().T @ cotangent.flatten(0, 1)

    def add_gram(self, total: Tensor, products: Products) -> None:
        """Add the product with the transpose."""
        total += products.of(self._flat())

    def squares(self) -> Tensor:
        """Return the squared norm of every row."""
        return self._flat().square().sum(-1)

    def column_squares(self) -> Tensor:
        """Return the squared norm of every column."""
        return self._rows().square().sum(0)

    def dense(self, out: Tensor | None, samples: slice) -> Tensor:
        """Form the rows of some samples."""
        part = self.block[samples]
        return part if out is None else out.copy_(part)

    def _rows(self) -> Tensor:
        return self._flat().flatten(0, 1)

    def _flat(self) -> Tensor:
        """View as `(s, k, p)`, a parameter that is one number too."""
        return self.block.unsqueeze(-1).flatten(2)


@dataclass(frozen=True)
class Outer:
    """A block that is a product of two factors over positions `n`.

    Attributes:
        left: Cotangents `(s, k, q, o, n)`.
        right: What the parameter multiplies, `(s, q, i, n)`.
        shape: The parameter's, of `q * o * i` entries.
    """

    left: Tensor
    right: Tensor
    shape: tuple[int, ...]

    def push(self, tangent: Tensor) -> Tensor:
        """Multiply with `(p, m)`."""
        v = tangent.view(*self._split(), tangent.shape[-1])
        through = torch.einsum("qoim,sqin->sqonm", v, self.right)
        return torch.einsum("skqon,sqonm->skm", self.left, through)

    def pull(self, cotangent: Tensor) -> Tensor:
        """Multiply the transpose with `(s, k, m)`."""
        back = torch.einsum("skqon,skm->sqonm", self.left, cotangent)
        found = torch.einsum("sqonm,sqin->qoim", back, self.right)
        return found.reshape(-1, cotangent.shape[-1])

    def add_gram(self, total: Tensor, products: Products) -> None:
        """Add the product with the transpose, by the cheaper of structure and forming.

        With one position the product of two rows is that of their cotangents times that
        of their inputs; with several it is a sum over pairs of positions.
        """
        samples, directions, groups, rows, positions = self.left.shape
        size, inside = samples * directions, self.right.shape[2]
        paired = positions**2 * (inside + directions**2 * rows)
        formed = directions * rows * inside * (positions / samples + directions)
        if positions == 1:
            for q in range(groups):
                x = self.right[:, q, :, 0]
                inputs = (x @ x.T)[:, None, :, None]
                total.addcmul_(products.of(self.left[:, :, q, :, 0]), inputs)
        elif paired < formed and (size * positions) ** 2 <= PART:
            total += self._paired()
        else:
            step = max(1, PART // max(1, size * inside))
            for q in range(groups):
                for part in balanced(rows, step):
                    left = self.left[:, :, q : q + 1, part]
                    shape = (1, left.shape[3], inside)
                    block = outer(left, self.right[:, q : q + 1], shape, None)
                    flat = block.flatten(2).flatten(0, 1)
                    total += (flat @ flat.T).view(total.shape)

    def squares(self) -> Tensor:
        """Return the squared norm of every row; ghost norms where they are cheaper."""
        positions, entries = (
            self.left.shape[-1],
            self.left.shape[3] * self.right.shape[2],
        )
        if positions == 1:
            g, x = (
                self.left[..., 0].square().sum(-1),
                self.right[..., 0].square().sum(-1),
            )
            return (g * x.unsqueeze(1)).sum(-1)
        if 2 * positions**2 < entries:
            g = torch.einsum("skqon,skqom->skqnm", self.left, self.left)
            x = torch.einsum("sqin,sqim->sqnm", self.right, self.right)
            return (g * x.unsqueeze(1)).sum((-3, -2, -1))
        parts = [block.flatten(2).square().sum(-1) for block in self._parts()]
        return torch.cat(parts)

    def column_squares(self) -> Tensor:
        """Return the squared norm of every column."""
        if self.left.shape[-1] == 1:
            g, x = self.left[..., 0].square().sum(1), self.right[..., 0].square()
            return torch.einsum("sqo,sqi->qoi", g, x).flatten()
        total = self.left.new_zeros(self.shape)
        for block in self._parts():
            total = total + block.square().sum((0, 1))
        return total.flatten()

    def dense(self, out: Tensor | None, samples: slice) -> Tensor:
        """Form the rows of some samples."""
        return outer(self.left[samples], self.right[samples], self.shape, out)

    def _split(self) -> tuple[int, int, int]:
        return self.left.shape[2], self.left.shape[3], self.right.shape[2]

    def _parts(self) -> Iterator[Tensor]:
        """Form the block some samples at a time."""
        size = self.left.shape[1] * torch.Size(self.shape).numel()
        for part in balanced(self.left.shape[0], max(1, PART // max(1, size))):
            yield self.dense(None, part)

    def _paired(self) -> Tensor:
        samples, directions, groups, _, positions = self.left.shape
        total = self.left.new_zeros(samples, directions, samples, directions)
        apart = (samples, directions, positions)
        for q in range(groups):
            g = self.left[:, :, q].transpose(-1, -2).flatten(0, 2)  # (s k n) o
            x = self.right[:, q].transpose(-1, -2).flatten(0, 1)  # (s n) i
            cotangents = (g @ g.T).view(*apart, *apart)
            inputs = (x @ x.T).view(samples, positions, samples, positions)
            total = total + torch.einsum("sknulm,snum->skul", cotangents, inputs)
        return total


def merged(uses: list[Factor]) -> Factor:
    """Add the blocks that the uses of one parameter make.

    Those with factors of the same sizes are one block with all their positions.
    """
    if len(uses) == 1:
        return uses[0]
    outers = [use for use in uses if isinstance(use, Outer)]
    sizes = {(o.left.shape[:4], o.right.shape[:3], o.shape) for o in outers}
    if len(outers) == len(uses) and len(sizes) == 1:
        left = torch.cat([o.left for o in outers], dim=-1)
        right = torch.cat([o.right for o in outers], dim=-1)
        return Outer(left, right, outers[0].shape)
    whole = slice(None)
    total = uses[0].dense(None, whole)
    for use in uses[1:]:
        total = total + use.dense(None, whole)
    return Dense(total)
