"""Where products go when only a diagonal is wanted, or its sum, the trace.

The Hessian is the Jacobian of the gradient `(*out, *in)`. Of the product with the
direction of an input entry only the same entry counts, so that of a whole Hessian
nothing but its diagonal `(S, O, N)` is ever held, and of a trace only the sums so far.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.results.diagonal_indices import DiagonalIndices, Picked
from jacengine.results.diagonal_storage import Gathered, Recorded, Written
from jacengine.results.result_layout import ResultLayout


class Diagonal:
    """A diagonal or a trace while it is assembled, like `DenseResult`."""

    def __init__(
        self, blueprint: ResultLayout, places: DiagonalIndices, *, out: Any = None
    ) -> None:
        """Begin a result.

        Args:
            blueprint: The blocks of the result.
            places: What it is made of.
            out: Preallocated result to write into, of the result's structure.
        """
        self._blueprint = blueprint
        self._places = places
        self._trace = blueprint.problem.part == "trace"
        given = {} if out is None else blueprint.opened(out)
        self._gathered: Gathered = (
            Recorded(blueprint)
            if blueprint.problem.options.create_graph
            else Written(blueprint, given)
        )

    def put_columns(self, samples: slice, block: slice, products: Tensors) -> None:
        """Take from products of a pushforward, one a gradient: `(K, S, *out, *in)`."""
        size = samples.stop - samples.start
        by_part = dict(zip(self._places.gradients, products, strict=True))
        for picked in self._places.of_columns(block):
            part, product = picked.part, by_part[picked.part]
            whole = product.reshape(len(product), size, part.entries, part.count)
            self._put(samples, picked.of(whole), picked)

    def put_rows(self, samples: slice, block: slice, products: Tensors) -> None:
        """Take from products of a pullback, one an input: `(K, *in)` or `(K, S, *in)`.

        Args:
            samples: The samples they are of.
            block: The rows they are of, among those that are pulled back.
            products: As the strategy returned them.
        """
        size = samples.stop - samples.start
        flat = [p.reshape(p.shape[0], size, -1) for p in products]
        whole = flat[0] if len(flat) == 1 else torch.cat(flat, dim=2)
        for picked in self._places.of_rows(block):
            self._put(samples, picked.of(whole).unsqueeze(1), picked)

    def put_sums(self, samples: slice, sums: Tensors) -> None:
        """Add what a strategy has summed over directions itself, one a value."""
        size = samples.stop - samples.start
        for number, part in enumerate(sums):
            self._gathered.add((number, 0), samples, part.reshape(size, -1))

    def finish(self) -> list[list[Tensor]]:
        """Return the blocks, values by inputs (of a trace: one), in their shapes."""
        rows, columns = self._blueprint.rows, self._blueprint.columns
        return [
            [
                self._gathered.closed((r, c)).reshape(
                    self._blueprint.blocks[r, c].shape
                )
                for c in range(len(columns))
            ]
            for r in range(len(rows))
        ]

    def _put(self, samples: slice, own: Tensor, picked: Picked) -> None:
        """Keep entries of a value's diagonal, or add them up.

        Args:
            samples: The samples they are of.
            own: `(S, O, m)`; or of all entries of the value together, `(S, 1, m)`.
            picked: Which they are.
        """
        key = (picked.part.value, picked.column)
        if not self._trace:
            self._gathered.place(key, samples, own, picked)
        elif picked.values is None:
            self._gathered.add(key, samples, own.sum(2))
        else:
            none = own.new_zeros(len(own), picked.part.entries)
            sums = none.index_add(1, picked.values, own.squeeze(1))
            self._gathered.add(key, samples, sums)
