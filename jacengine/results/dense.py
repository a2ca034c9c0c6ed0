"""Where products go: the Jacobian while it is filled.

A block of J is seen here as `(S, R, N)`: samples, output entries, input entries. Rows
come from pullbacks, columns from pushforwards. J is allocated once and written in
place; a product that *is* its block is taken over as it is, without a copy.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from jacengine._torch_private import without_storage
from jacengine._torchfunc import Tensors
from jacengine.errors import StrategyError
from jacengine.problem.call_spec import TensorSpec
from jacengine.results.buffer_pool import BufferPool
from jacengine.results.huge_pages import allocate
from jacengine.results.result_layout import Key, ResultLayout

Region = tuple[slice, slice, slice]

_ALL = slice(None)


class DenseResult:
    """The result while it is filled."""

    def __init__(
        self,
        blueprint: ResultLayout,
        *,
        out: Any = None,
        owned: Callable[[], set[int]] | None = None,
        reused: BufferPool | None = None,
    ) -> None:
        """Begin a result.

        Args:
            blueprint: The blocks of the result.
            out: Preallocated result to write into, of the result's structure.
            owned: Lists the storages that must not become the result's, by address;
                `None`: no product may.
            reused: Where the result's memory comes from; `None`: it is new.
        """
        self._blueprint = blueprint
        self._problem = blueprint.problem
        self._records = blueprint.problem.options.create_graph
        self._given = {} if out is None else blueprint.opened(out)
        self._blocks: dict[Key, Tensor] = {}
        self._pieces: dict[Key, list[tuple[Region, Tensor]]] = {}
        self._owned = owned
        self._allocate = allocate if reused is None else reused.allocate
        self._taken: set[int] = set()

    def put_rows(self, samples: slice, block: slice, products: Tensors) -> None:
        """Place the products of a pullback.

        Args:
            samples: The samples they are of.
            block: The rows they are of, among all directions.
            products: One an input, `(K, *in)` or `(K, S, *in)`.
        """
        problem, blueprint = self._problem, self._blueprint
        flat = self._flatten(products, problem.inputs, problem.columns, samples)
        if problem.joined and len(flat) > 1 and self._records:
            flat = [torch.cat(flat, dim=2)]
        for row, group in enumerate(blueprint.rows):
            if (found := group.overlap(block, blueprint.times)) is not None:
                inner, local = found
                for (column, across), part in zip(
                    self._places(flat), flat, strict=True
                ):
                    region = (self._samples(samples), local, across)
                    piece = part if inner == slice(0, part.shape[0]) else part[inner]
                    self._put((row, column), region, piece.transpose(0, 1))

    def put_columns(self, samples: slice, block: slice, products: Tensors) -> None:
        """Place the products of a pushforward, one an output, `(K, S, *out)`."""
        problem, blueprint = self._problem, self._blueprint
        flat = self._flatten(products, problem.outputs, problem.rows, samples)
        for column, group in enumerate(blueprint.columns):
            if (found := group.overlap(block, 1)) is not None:
                inner, local = found
                region = (self._samples(samples), _ALL, local)
                for row, part in enumerate(flat):
                    self._put((row, column), region, part[inner].permute(1, 2, 0))

    def rows_view(self, samples: slice, block: slice) -> Tensors | None:
        """Return where the rows of a block go, for a strategy that writes itself.

        Returns:
            One view an input, `(K, *in)` or `(K, S, *in)`, or `None` if products have
            to be placed by `put_rows`.
        """
        problem, blueprint = self._problem, self._blueprint
        met = [
            (row, found[1])
            for row, group in enumerate(blueprint.rows)
            if (found := group.overlap(block, blueprint.times)) is not None
        ]
        if problem.columns is not None or self._records or len(met) != 1:
            return None
        row, local = met[0]
        views: list[Tensor] = []
        for leaf, (column, across) in zip(
            problem.inputs, self._places(problem.inputs), strict=True
        ):
            view = self._block((row, column))[self._samples(samples), local, across]
            view = view.unflatten(2, leaf.shape) if leaf.shape else view.squeeze(2)
            view = view.transpose(0, 1)
            sampled = problem.batch_size is not None and not blueprint.joint
            views.append(view if sampled else view[:, 0])
        return tuple(views)

    def finish(self) -> list[list[Tensor]]:
        """Return the blocks, outputs by inputs, in their final shapes."""
        blueprint = self._blueprint
        return [
            [
                self._closed((row, column)).view(blueprint.blocks[row, column].shape)
                for column in range(len(blueprint.columns))
            ]
            for row in range(len(blueprint.rows))
        ]

    def _places(self, parts: Sequence[Any]) -> list[tuple[int, slice]]:
        """Say in which group of columns each input stands, and where in it."""
        if len(parts) == len(self._blueprint.columns):
            return [(column, _ALL) for column in range(len(parts))]
        sizes = [leaf.size for leaf in self._problem.inputs]
        ends = itertools.accumulate(sizes)
        return [(0, slice(e - n, e)) for n, e in zip(sizes, ends, strict=True)]

    def _samples(self, samples: slice) -> slice:
        return _ALL if self._blueprint.joint else samples

    def _flatten(
        self,
        products: Tensors,
        leaves: Sequence[TensorSpec],
        chosen: Tensor | None,
        samples: slice,
    ) -> list[Tensor]:
        """Flatten products to `(K, S, entries)`, one a group of the result."""
        count = 1 if self._blueprint.joint else samples.stop - samples.start
        flat = [
            product.reshape(product.shape[0], count, leaf.size)
            for product, leaf in zip(products, leaves, strict=True)
        ]
        if chosen is None:
            return flat
        together = flat[0] if len(flat) == 1 else torch.cat(flat, dim=2)
        return [together[..., chosen.to(together.device)]]

    def _put(self, key: Key, region: Region, piece: Tensor) -> None:
        if self._records:
            self._pieces.setdefault(key, []).append((region, piece))
        elif not self._take_whole(key, piece):
            with torch.no_grad():
                self._block(key)[region].copy_(piece)

    def _take_whole(self, key: Key, piece: Tensor) -> bool:
        """Make a product that is all of a block the block, copied only if need be."""
        block = self._blueprint.blocks[key]
        if (
            piece.shape != block.extent
            or key in self._given
            or key in self._blocks
            or piece.dtype != block.dtype
            or piece.device != block.device
        ):
            return False
        if piece.requires_grad:
            piece = piece.detach()
        if not piece.is_contiguous():
            self._blocks[key] = piece.contiguous()
            return True
        if self._owned is None or without_storage(piece):
            return False
        storage = piece.untyped_storage()
        address = storage.data_ptr()
        if (
            storage.nbytes() != piece.numel() * piece.element_size()
            or address in self._taken
            or address in self._owned()
        ):
            return False
        self._blocks[key] = piece
        self._taken.add(address)
        return True

    def _block(self, key: Key) -> Tensor:
        if key in self._given:
            return self._given[key]
        if key not in self._blocks:
            block = self._blueprint.blocks[key]
            self._blocks[key] = self._allocate(
                block.extent, dtype=block.dtype, device=block.device
            )
        return self._blocks[key]

    def _closed(self, key: Key) -> Tensor:
        """Return a finished block; with a graph, put together from its pieces."""
        if key not in self._pieces:
            return self._block(key)
        pieces = self._pieces[key]
        axis = 1 if pieces[0][0][2] == _ALL else 2
        by_samples: dict[tuple[Any, Any], list[Tensor]] = {}
        for (samples, _, _), piece in pieces:
            by_samples.setdefault((samples.start, samples.stop), []).append(piece)
        joined = [torch.cat(parts, dim=axis) for parts in by_samples.values()]
        dtype = self._blueprint.blocks[key].dtype
        return torch.cat(joined, dim=0).to(dtype).contiguous()


def check_products(products: object, expected: Sequence[tuple[int, ...]]) -> None:
    """Hold a strategy to its contract.

    Raises:
        StrategyError: It returned something other than products of these shapes.
    """
    got = (
        [
            tuple(p.shape) if isinstance(p, Tensor) else type(p).__name__
            for p in products
        ]
        if isinstance(products, tuple)
        else type(products).__name__
    )
    if got != list(expected):
        raise StrategyError(
            f"The strategy returned products of shape {got}; expected {list(expected)}."
        )
