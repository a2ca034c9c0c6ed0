"""Where products go when only a diagonal is wanted, or its sum, the trace.

The Hessian is the Jacobian of the gradient `(*out, *in)`. Of the product with the
direction of an input entry only the same entry counts, so that of a whole Hessian
nothing but its diagonal `(S, O, N)` is ever held.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.products.blueprint import Blueprint
from jacengine.products.places import Picked, Places


class Diagonal:
    """A diagonal or a trace while it is put together; it stands in for `Assembly`."""

    def __init__(
        self, blueprint: Blueprint, places: Places, *, out: Any = None
    ) -> None:
        """Begin a result.

        Args:
            blueprint: The blocks of the result.
            places: What it is made of.
            out: Preallocated result to write into, of the result's structure.
        """
        self._blueprint = blueprint
        self._problem = blueprint.problem
        self._places = places
        self._given = {} if out is None else blueprint.opened(out)
        self._pieces: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
        self._sums: dict[tuple[int, int], list[Tensor]] = {}

    def put_columns(self, samples: slice, block: slice, products: Tensors) -> None:
        """Take from products of a pushforward, one a gradient: `(K, S, *out, *in)`."""
        size = samples.stop - samples.start
        by_part = dict(zip(self._places.gradients, products, strict=True))
        for picked in self._places.of_columns(block):
            part, product = picked.part, by_part[picked.part]
            whole = product.reshape(len(product), size, part.entries, part.count)
            own = whole[picked.directions, :, :, picked.entries]
            self._put(part.value, samples, own.permute(1, 2, 0).flatten(1), picked)

    def put_rows(self, samples: slice, block: slice, products: Tensors) -> None:
        """Take from products of a pullback, one an input: `(K, *in)` or `(K, S, *in)`.

        Args:
            samples: The samples they are of.
            block: The rows they are of, among those that are pulled back.
            products: As the strategy returned them.
        """
        size = samples.stop - samples.start
        flat = torch.cat([p.reshape(p.shape[0], size, -1) for p in products], dim=2)
        for picked in self._places.of_rows(block):
            own = flat[picked.directions, :, picked.entries].transpose(0, 1)
            self._put(picked.part.value, samples, own, picked)

    def put_sums(self, samples: slice, sums: Tensors) -> None:
        """Add what a strategy has summed over directions itself, one a value."""
        for number, part in enumerate(sums):
            key = (number, samples.start)
            flat = part.reshape(samples.stop - samples.start, -1)
            kept = flat if self._problem.options.create_graph else flat.detach()
            self._sums.setdefault(key, []).append(kept)

    def finish(self) -> list[list[Tensor]]:
        """Return the blocks, values by inputs (of a trace: one), in their shapes."""
        return [self._line(number) for number in range(len(self._problem.values))]

    def _put(self, value: int, samples: slice, own: Tensor, picked: Picked) -> None:
        """Keep entries of a value's diagonal: `(S, m)` at these `m` of `(O, N)`."""
        # What functorch returns may hold a graph, which would stay from block to block.
        kept = own if self._problem.options.create_graph else own.detach()
        key = (value, samples.start)
        self._pieces.setdefault(key, []).append((kept, picked.places))

    def _line(self, number: int) -> list[Tensor]:
        """Put a value's blocks together."""
        starts = sorted(s for v, s in (self._pieces or self._sums) if v == number)
        trace = self._problem.part == "trace"
        parts = [self._of_samples(number, start, trace=trace) for start in starts]
        if not parts:  # of no column at all
            return self._empty(number)
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        if trace:
            return [self._closed((number, 0), whole)]
        columns = self._blueprint.columns
        split = whole.split([group.size for group in columns], dim=2)
        return [self._closed((number, c), part) for c, part in enumerate(split)]

    def _empty(self, number: int) -> list[Tensor]:
        """Return a value's blocks where no entry is asked for."""
        blocks, columns = self._blueprint.blocks, self._blueprint.columns
        made = [
            (key, blocks[key]) for key in ((number, c) for c in range(len(columns)))
        ]
        return [
            self._closed(key, torch.zeros(b.shape, dtype=b.dtype, device=b.device))
            for key, b in made
        ]

    def _of_samples(self, number: int, start: int, *, trace: bool) -> Tensor:
        """Return the diagonal `(S, O, N)` of some samples, or its sum `(S, O)`."""
        key = (number, start)
        if key in self._sums:
            sums = self._sums[key]
            return sums[0] if len(sums) == 1 else torch.stack(sums).sum(0)
        entries, count = self._problem.values[number].size, self._places.count
        found = self._pieces[key]
        values = torch.cat([picked for picked, _ in found], dim=1)
        places = torch.cat([where for _, where in found])
        empty = values.new_zeros(values.shape[0], entries * count)
        diagonal = empty.index_copy(1, places, values)
        diagonal = diagonal.view(len(values), entries, count)
        return diagonal.sum(2) if trace else diagonal

    def _closed(self, key: tuple[int, int], found: Tensor) -> Tensor:
        """Give a block its final shape, in the user's memory if there is some."""
        block = self._blueprint.blocks[key]
        result = found.to(block.dtype).reshape(block.shape)
        if key not in self._given:
            return result if self._problem.options.create_graph else result.detach()
        with torch.no_grad():
            self._given[key].copy_(result.reshape(self._given[key].shape))
        return self._given[key].view(block.shape)
