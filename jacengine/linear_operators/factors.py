"""The blocks of J by parameter, as factors that are never multiplied out.

Rows are pairs of a sample `s` and an output entry `k`. Formulas and costs: R. Novak,
J. Sohl-Dickstein, S. Schoenholz, "Fast finite width neural tangent kernel", 2022,
https://arxiv.org/abs/2206.08720 (structured derivatives); Z. Bu, J. Mao, S. Xu, 2022,
https://arxiv.org/abs/2205.10683 (ghost norms).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jacengine.layers.linear import outer, scattered
from jacengine.linear_operators.matrix_free import PART
from jacengine.task import balanced


class Products:
    """Products of all pairs of rows, each formed once.

    The weight and the bias of a layer have the same cotangents.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Tensor] = {}

    def of(self, rows: Tensor, others: Tensor) -> Tensor:
        """Multiply rows `(s, k, p)` with `(t, l, p)`; returns `(s, k, t, l)`."""
        key = tuple((r.data_ptr(), r.shape, r.stride()) for r in (rows, others))
        if key not in self._known:
            product = rows.flatten(0, 1) @ others.flatten(0, 1).T
            shape = (*rows.shape[:2], *others.shape[:2])
            self._known[key] = product.view(shape)
        return self._known[key]


@dataclass(frozen=True)
class Dense:
    """A block that has no factors, or none worth keeping.

    Attributes:
        block: `(s, k, *param)`.
    """

    block: Tensor

    def push(self, tangent: Tensor) -> Tensor:
        """Multiply with `m` vectors, `(p, m)`; returns `(s, k, m)`."""
        return self._flat() @ tangent

    def pull(self, cotangent: Tensor) -> Tensor:
        """Multiply the transpose with `(s, k, m)`; returns `(p, m)`."""
        return self._rows().T @ cotangent.flatten(0, 1)

    def squares(self) -> Tensor:
        """Return the squared norm of every row, `(s, k)`."""
        return self._flat().square().sum(-1)

    def column_squares(self) -> Tensor:
        """Return the squared norm of every column, `(p,)`."""
        return self._rows().square().sum(0)

    def dense(self, out: Tensor | None, samples: slice) -> Tensor:
        """Form the rows of some samples, `(samples, k, *param)`, in `out` if given."""
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

    @property
    def pulls_cheaper(self) -> bool:
        """Whether a pull takes half the operations of one with the block, formed."""
        directions, inside = self.left.shape[1], self.right.shape[2]
        positions = self.left.shape[4]
        return 2 * positions * (directions + inside) < directions * inside

    def at(self, samples: slice) -> Outer:
        """Return the block of some samples."""
        return Outer(self.left[samples], self.right[samples], self.shape)

    def push(self, tangent: Tensor) -> Tensor:
        """Multiply with `(p, m)`."""
        split = (*self.left.shape[2:4], self.right.shape[2], tangent.shape[-1])
        v = tangent.view(split)
        through = torch.einsum("qoim,sqin->sqonm", v, self.right)
        return torch.einsum("skqon,sqonm->skm", self.left, through)

    def pull(self, cotangent: Tensor) -> Tensor:
        """Multiply the transpose with `(s, k, m)`."""
        back = torch.einsum("skqon,skm->sqonm", self.left, cotangent)
        found = torch.einsum("sqonm,sqin->qoim", back, self.right)
        return found.reshape(-1, cotangent.shape[-1])

    def add_kernel(self, other: Outer, total: Tensor, products: Products) -> None:
        """Add the product with a transpose, by the cheaper of structure and forming.

        With one position the product of two rows is that of their cotangents times that
        of their inputs; with several it is a sum over pairs of positions.
        """
        samples, directions, groups, rows, positions = self.left.shape
        size, inside = samples * directions, self.right.shape[2]
        count = other.left.shape[0] * other.left.shape[1]
        pairs = positions * other.left.shape[-1]
        matched = samples * other.left.shape[0] * pairs * inside
        paired = matched + size * count * pairs * rows
        made = size * positions
        if other is not self:
            made += count * other.left.shape[-1]
        formed = rows * inside * (made + size * count)
        if pairs == 1:
            for q in range(groups):
                x, y = self.right[:, q, :, 0], other.right[:, q, :, 0]
                inputs = (x @ y.T)[:, None, :, None]
                g, h = self.left[:, :, q, :, 0], other.left[:, :, q, :, 0]
                total.addcmul_(products.of(g, h), inputs)
        elif paired < formed and size * count * pairs <= PART:
            total += self._paired(other)
        else:
            step = max(1, PART // max(1, max(size, count) * inside))
            for q in range(groups):
                for part in balanced(rows, step):
                    mine = self._formed(q, part)
                    theirs = mine if other is self else other._formed(q, part)
                    total += (mine @ theirs.T).view(total.shape)

    def squares(self) -> Tensor:
        """Return the squared norm of every row; ghost norms where they are cheaper."""
        _, _, _, rows, positions = self.left.shape
        if positions == 1:
            g = self.left[..., 0].square().sum(-1)
            x = self.right[..., 0].square().sum(-1)
            return (g * x.unsqueeze(1)).sum(-1)
        if 2 * positions**2 < rows * self.right.shape[2]:
            g = torch.einsum("skqon,skqom->skqnm", self.left, self.left)
            x = torch.einsum("sqin,sqim->sqnm", self.right, self.right)
            return (g * x.unsqueeze(1)).sum((-3, -2, -1))
        return torch.cat([part.flatten(2).square().sum(-1) for part in self._parts()])

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

    def _parts(self) -> Iterator[Tensor]:
        """Form the block some samples at a time."""
        size = self.left.shape[1] * torch.Size(self.shape).numel()
        for part in balanced(self.left.shape[0], max(1, PART // max(1, size))):
            yield self.dense(None, part)

    def _formed(self, group: int, part: slice) -> Tensor:
        """Form some rows of the parameter in a group; returns `(s * k, part * i)`."""
        left = self.left[:, :, group : group + 1, part]
        right = self.right[:, group : group + 1]
        shape = (1, left.shape[3], right.shape[2])
        return outer(left, right, shape, None).flatten(2).flatten(0, 1)

    def _paired(self, other: Outer) -> Tensor:
        """Multiply by sums over pairs of positions; returns `(s, k, t, l)`."""
        sides = ((self.left, self.right), (other.left, other.right))
        s, k, groups, _, n = self.left.shape
        t, m, _, _, u = other.left.shape
        total = self.left.new_zeros(s, k, t, m)
        for q in range(groups):
            # (s k n) o, and (s n) i
            g, h = (left[:, :, q].transpose(-1, -2).flatten(0, 2) for left, _ in sides)
            x, y = (r[:, q].transpose(-1, -2).flatten(0, 1) for _, r in sides)
            cotangents = (g @ h.T).view(s, k, n, t, m, u)
            inputs = (x @ y.T).view(s, n, t, u)
            total = total + torch.einsum("skntlu,sntu->sktl", cotangents, inputs)
        return total


@dataclass(frozen=True)
class EmbeddingFactor:
    """The block of an embedding, where position `n` adds to one row of the table.

    Of its `s * k * v` rows a sample touches as many as it has positions; the others are
    never formed.

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

    def add_kernel(self, other: EmbeddingFactor, total: Tensor) -> None:
        """Add the product with a transpose, over the rows that are touched at all."""
        sides = (self,) if other is self else (self, other)
        used = torch.cat([side.index.flatten() for side in sides]).unique()
        sizes = [side.values.shape[0] * side.values.shape[1] for side in sides]
        width = self.values.shape[-1]
        step = max(1, PART // max(1, max(sizes) * width))
        for part in balanced(used.numel(), step):
            formed = [side._formed(used[part]) for side in sides]
            total += (formed[0] @ formed[-1].T).view(total.shape)

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

    def _formed(self, used: Tensor) -> Tensor:
        """Form these rows of the table, sorted; returns `(s * k, used * e)`."""
        place = torch.searchsorted(used, self.index).clamp_(max=used.numel() - 1)
        outside = used[place] != self.index
        values = self.values.masked_fill(outside[:, None, :, None], 0)
        here = place.masked_fill(outside, 0)
        return scattered(here, values, used.numel(), None).flatten(2).flatten(0, 1)

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


Factor = Dense | Outer | EmbeddingFactor
"""The block of one parameter, `(s, k, *param)`."""


def add_kernel(mine: Factor, theirs: Factor, total: Tensor, products: Products) -> None:
    """Add the product of a block with the transpose of another to `(s, k, t, l)`."""
    if isinstance(mine, Outer) and isinstance(theirs, Outer):
        mine.add_kernel(theirs, total, products)
    elif isinstance(mine, EmbeddingFactor) and isinstance(theirs, EmbeddingFactor):
        mine.add_kernel(theirs, total)
    else:
        total += (_rows(mine) @ _rows(theirs).T).view(total.shape)


def _rows(factor: Factor) -> Tensor:
    """Form a block, `(s * k, p)`; a parameter that is one number too."""
    return factor.dense(None, slice(None)).unsqueeze(-1).flatten(2).flatten(0, 1)


def merged(uses: Sequence[Factor]) -> Factor:
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
