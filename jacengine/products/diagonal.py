"""Where products go when only a diagonal is wanted, or its sum, the trace.

The Hessian is the Jacobian of the gradient `(*out, *in)`. Of the product with the
direction of an input entry only the same entry counts, so that of a whole Hessian
nothing but its diagonal `(S, O, N)` is ever held.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.problems.second_order import gradients
from jacengine.products.blueprint import Blueprint


class Diagonal:
    """A diagonal or a trace while it is put together; it stands in for `Assembly`."""

    def __init__(self, blueprint: Blueprint, *, out: Any = None) -> None:
        """Begin a result.

        Args:
            blueprint: The blocks of the result.
            out: Preallocated result to write into, of the result's structure.
        """
        problem = blueprint.problem
        self._blueprint = blueprint
        self._problem = problem
        self._given = {} if out is None else blueprint.opened(out)
        flat = problem.options.layout == "flat"
        self._gradients = tuple(gradients(problem.values, problem.inputs, joined=flat))
        self._pieces: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
        self._sums: dict[tuple[int, int], list[Tensor]] = {}

    @functools.cached_property
    def _columns(self) -> Tensor:
        """The input entries that are asked for."""
        count = sum(leaf.size for leaf in self._problem.inputs)
        chosen = self._problem.columns
        return torch.arange(count) if chosen is None else chosen

    def put_columns(self, samples: slice, block: slice, products: Tensors) -> None:
        """Take from products of a pushforward, one a gradient: `(K, S, *out, *in)`."""
        size = samples.stop - samples.start
        columns = self._columns[block]
        for part, product in zip(self._gradients, products, strict=True):
            inside = (columns >= part.start) & (columns < part.start + part.count)
            which = inside.nonzero().flatten()
            if which.numel() == 0:
                continue
            whole = product.reshape(len(product), size, part.entries, part.count)
            own = columns[which] - part.start
            picked = whole[which.to(whole.device), :, :, own.to(whole.device)]
            places = self._places(part.entries, block.start + which)
            self._put(part.value, samples, picked.permute(1, 2, 0).flatten(1), places)

    def put_rows(self, samples: slice, block: slice, products: Tensors) -> None:
        """Take from products of a pullback, one an input: `(K, *in)` or `(K, S, *in)`.

        Args:
            samples: The samples they are of.
            block: The rows they are of, among those that are pulled back.
            products: As the strategy returned them.
        """
        problem = self._problem
        size = samples.stop - samples.start
        flat = torch.cat([p.reshape(p.shape[0], size, -1) for p in products], dim=2)
        rows = problem.rows
        wanted = torch.arange(block.start, block.stop) if rows is None else rows[block]
        first = 0
        for part in self._gradients:
            last = first + part.entries * part.count
            which = ((wanted >= first) & (wanted < last)).nonzero().flatten()
            local = wanted[which] - first
            first = last
            if which.numel() == 0:
                continue
            column = part.start + local % part.count
            device = flat.device
            picked = flat[which.to(device), :, column.to(device)].transpose(0, 1)
            entry = local // part.count
            places = entry * self._columns.numel() + self._rank(column)
            self._put(part.value, samples, picked, places)

    def put_sums(self, samples: slice, sums: Tensors) -> None:
        """Add what a strategy has summed over directions itself, one a value."""
        for number, part in enumerate(sums):
            key = (number, samples.start)
            flat = part.reshape(samples.stop - samples.start, -1)
            self._sums.setdefault(key, []).append(flat)

    def finish(self) -> list[list[Tensor]]:
        """Return the blocks, values by inputs (of a trace: one), in their shapes."""
        return [self._line(number) for number in range(len(self._problem.values))]

    def _put(self, value: int, samples: slice, picked: Tensor, places: Tensor) -> None:
        """Keep entries of a value's diagonal: `(S, m)` at these `m` of `(O, N)`."""
        self._pieces.setdefault((value, samples.start), []).append((picked, places))

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
        entries, count = self._problem.values[number].size, self._columns.numel()
        found = self._pieces[key]
        values = torch.cat([picked for picked, _ in found], dim=1)
        places = torch.cat([where for _, where in found]).to(values.device)
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

    def _places(self, entries: int, ranks: Tensor) -> Tensor:
        """Say where in `(O, N)` all entries of these columns stand."""
        steps = torch.arange(entries).unsqueeze(1) * self._columns.numel()
        return (steps + ranks).flatten()

    def _rank(self, columns: Tensor) -> Tensor:
        """Find at which place among those chosen these columns stand."""
        if self._problem.columns is None:
            return columns
        order = torch.argsort(self._columns)
        return order[torch.searchsorted(self._columns[order], columns)]
