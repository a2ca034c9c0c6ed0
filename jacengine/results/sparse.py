"""A sparse matrix: the nonzeros of a pattern, in its order."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from jacengine.errors import ArgumentError, kind_of, to_tensor_advice
from jacengine.results.csr import csr_tensor
from jacengine.results.entries import Entries, all_entries
from jacengine.results.result import Projection, Result
from jacengine.results.result_layout import ResultLayout


class SparseResult(Result):
    """The values of a pattern's entries, `(S, nnz)`; nested as COO, CSR or values.

    One matrix holds all outputs by all inputs, each flattened.
    """

    def __init__(self, layout: ResultLayout, out: Any = None) -> None:
        """Begin with zeros.

        Raises:
            ArgumentError: `out` does not fit.
        """
        super().__init__(layout)
        self._values: Tensor | None = None
        self._parts: list[tuple[slice, Entries, Tensor]] = []
        if out is not None:
            self._values = self._checked(out).zero_()

    def add_entries(self, values: Tensor, entries: Entries, samples: slice) -> None:
        """Add the values of some entries."""
        whole = entries.which is None and samples == slice(0, self._size)
        if self.layout.problem.options.create_graph:
            self._parts.append((samples, entries, values))
        elif whole and self._values is None:
            self._values = values.contiguous()
        elif entries.which is None:
            self._target()[samples] = values
        else:
            which = entries.which.to(values.device)
            self._target()[samples].index_copy_(1, which, values)

    def entries_at(self, entries: Entries, samples: slice) -> Tensor:
        """Return the values of some entries."""
        found = self._joined().detach()[samples]
        which = entries.which
        return found if which is None else found[:, which.to(found.device)]

    def finish(self) -> None:
        """Make the values the one block."""
        self.blocks = [[self._shaped(self._joined())]]

    @property
    def target(self) -> Tensor:
        """The values, to be written into."""
        return self._shaped(self._target())

    def _shaped(self, values: Tensor) -> Tensor:
        return values[0] if self.layout.problem.batch_size is None else values

    def nested(self) -> Any:
        """Return the values, or the matrix as a COO or CSR tensor."""
        (values,) = self.blocks[0]
        layout = self.layout
        pattern, batch = layout.pattern, layout.problem.batch_size
        chosen = layout.problem.options.layout
        if chosen == "values":
            return values
        shape = (*(() if batch is None else (batch,)), *pattern.shape)
        if chosen == "coo":
            return torch.sparse_coo_tensor(
                layout.coo_indices,
                values.reshape(-1),
                shape,
                device=values.device,
                is_coalesced=True,
                check_invariants=False,
            )
        starts, columns = layout.csr_indices
        return csr_tensor(starts, columns, values, shape)

    def project(self, cotangents: Any) -> list[Projection]:
        """Compute `u^T J` from the values."""
        entries, values = all_entries(self.layout.problem), self.blocks[0][0].detach()
        precise = torch.promote_types(values.dtype, torch.float32)
        values = values.reshape(self._size, -1).to(precise)
        if entries.which is not None:
            values = values[:, entries.which.to(values.device)]
        u = torch.cat([c.to(values.device, precise) for c in cotangents], dim=1)
        terms = u[:, entries.rows.to(values.device)] * values
        columns = entries.columns.to(values.device)
        total = values.new_zeros(self._size, self.layout.pattern.shape[1])
        value = total.index_add(1, columns, terms)
        scale = total.index_add(1, columns, terms.square()).sqrt()
        return [Projection(value, scale)]

    @property
    def _size(self) -> int:
        return self.layout.problem.sample_count

    def _target(self) -> Tensor:
        if self._values is None:
            self._values = torch.zeros(
                self._size,
                self.layout.pattern.nnz,
                dtype=self.layout.dtype,
                device=self.layout.problem.outputs[0].device,
            )
        return self._values

    def _joined(self) -> Tensor:
        """Put parts together by what autograd can follow."""
        if not self._parts:
            return self._target()
        total = torch.zeros_like(self._target())
        every = torch.arange(self._size, device=total.device).unsqueeze(1)
        for samples, entries, values in self._parts:
            which = entries.which
            if which is None:
                which = torch.arange(total.shape[1], device="cpu")
            at = (every[samples], which.to(total.device))
            total = total.index_put(at, values)
        return total

    def _checked(self, out: Any) -> Tensor:
        problem = self.layout.problem
        if problem.options.layout != "values":
            raise ArgumentError(
                f"out= takes the values of a sparse Jacobian; choose layout='values' "
                f"in place of {problem.options.layout!r}, or leave out= out."
            )
        sizes = () if problem.batch_size is None else (problem.batch_size,)
        shape = (*sizes, self.layout.pattern.nnz)
        if not isinstance(out, Tensor) or out.shape != shape:
            got = tuple(out.shape) if isinstance(out, Tensor) else kind_of(out)
            raise ArgumentError(
                f"out= is {got}; expected a tensor of shape {shape}."
                f"{to_tensor_advice(out)}"
            )
        device = problem.outputs[0].device
        if out.dtype != self.layout.dtype or out.device != device:
            raise ArgumentError(
                f"out= is {out.dtype} on {out.device}; expected {self.layout.dtype} on "
                f"{device}."
            )
        return out.detach().view(self._size, -1)
