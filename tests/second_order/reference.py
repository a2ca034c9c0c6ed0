"""The second derivatives that every strategy must return, by the plainest loop.

Two nested `torch.autograd.grad`, for each sample, each output entry and each input
entry. Nothing is vectorised, and nothing is shared with the engine, so that an error
of it cannot be one of this file as well.
"""

import contextlib
import copy
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from jacengine.problem.quantity import Quantity
from tests.contract.nesting import Block, Index, nest
from tests.contract.scenario import Case
from tests.contract.tree import PyTree, float_leaves, is_float, tree_map
from tests.contract.varied import sample, vary

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Curvatures:
    """All second derivatives of a call.

    Attributes:
        table: For each output leaf, for each first and each second input leaf, the
            values `(*lead, O, I, J)`; `lead` is empty or `(B,)`.
        out_shapes: The shape of each output leaf, of one sample if there are samples.
        in_shapes: The shape of each input leaf, likewise.
        dtypes: That of each output leaf, which diagonals and traces have too; blocks of
            a Hessian have that of the first input they are of, as a gradient has.
        out_tree: How the outputs nest.
        in_tree: How the inputs nest.
        aux: What the function returned beside its outputs.
    """

    table: list[list[list[Tensor]]]
    out_shapes: list[Shape]
    in_shapes: list[Shape]
    dtypes: list[torch.dtype]
    out_tree: PyTree
    in_tree: PyTree
    aux: PyTree

    def expected(self, quantity: Quantity, options: dict[str, Any]) -> PyTree:
        """Return what the function of that name must return."""
        if quantity == "hessian":
            result = self._hessian(options.get("rows"), options.get("columns"))
        elif quantity == "hessian_diagonal":
            result = self._diagonal(options.get("columns"))
        else:
            result = self._laplacian(options.get("columns"))
        return (result, self.aux) if options.get("has_aux", False) else result

    def _hessian(self, rows: Index | None, columns: Index | None) -> PyTree:
        lines = [
            [
                Block(values.flatten(-3, -2), (*out, *first), second)
                for values, second in zip(line, self.in_shapes, strict=True)
            ]
            for out, lines in zip(self.out_shapes, self.table, strict=True)
            for first, line in zip(self.in_shapes, lines, strict=True)
        ]
        gradient = tree_map(
            lambda leaf: self.in_tree if is_float(leaf) else None, self.out_tree
        )
        return nest(
            lines, out_tree=gradient, in_tree=self.in_tree, rows=rows, columns=columns
        )

    def _diagonal(self, columns: Index | None) -> PyTree:
        blocks = [
            [
                Block(own, out, shape)
                for own, shape in zip(line, self.in_shapes, strict=True)
            ]
            for out, line in zip(self.out_shapes, self._own(), strict=True)
        ]
        return nest(
            blocks,
            out_tree=self.out_tree,
            in_tree=self.in_tree,
            rows=None,
            columns=columns,
        )

    def _laplacian(self, columns: Index | None) -> PyTree:
        lines: list[list[Block]] = []
        for out, line in zip(self.out_shapes, self._own(), strict=True):
            entries = torch.cat(line, dim=-1)
            picked = torch.arange(entries.shape[-1])
            picked = picked if columns is None else picked[columns]
            total = entries.index_select(-1, picked).sum(-1, keepdim=True)
            lines.append([Block(total, out, ())])
        return nest(
            lines,
            out_tree=self.out_tree,
            in_tree=torch.empty(()),
            rows=None,
            columns=None,
        )

    def _own(self) -> list[list[Tensor]]:
        """Return, for each output and input leaf, the diagonal `(*lead, O, I)`."""
        return [
            [
                line[i].diagonal(dim1=-2, dim2=-1).to(dtype)
                for i, line in enumerate(lines)
            ]
            for lines, dtype in zip(self.table, self.dtypes, strict=True)
        ]


@dataclass(frozen=True)
class _Call:
    """One call of the function, with its graph.

    Attributes:
        out_tree: What the function returned.
        aux: What it returned beside that.
        in_tree: The varied tensors, and whatever lies between them.
        in_dims: The axis of the samples in each of them, `None` if shared.
    """

    out_tree: PyTree
    aux: PyTree
    in_tree: PyTree
    in_dims: list[int | None]


def curvatures(case: Case) -> Curvatures:
    """Compute all second derivatives of a case, entry by entry."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), _plain_attention():
        whole = _call(case)
        if case.options.get("batch_dim") is None:
            tables = [_of_point(whole, None)]
            out_skip = 0
            dims: list[int | None] = [None] * len(whole.in_dims)
        else:
            batch = float_leaves(whole.out_tree)[0].shape[0]
            random = case.options.get("randomness", "error") != "error"
            # Random numbers are drawn for the whole batch; else a sample is alone.
            tables = [
                _of_point(whole, b) if random else _of_point(_call(sample(case, b)), 0)
                for b in range(batch)
            ]
            out_skip = 1
            dims = whole.in_dims
    dtypes = [out.dtype for out in float_leaves(whole.out_tree)]
    outs = [tuple(out.shape[out_skip:]) for out in float_leaves(whole.out_tree)]
    ins: list[Shape] = [
        _without(x.shape, dim)
        for x, dim in zip(float_leaves(whole.in_tree), dims, strict=True)
    ]
    inputs = float_leaves(whole.in_tree)
    table = [
        [
            [
                _stacked([t[v][i][j] for t in tables], out, inputs[i], a, b)
                if out_skip
                else tables[0][v][i][j]
                for j, b in enumerate(ins)
            ]
            for i, a in enumerate(ins)
        ]
        for v, out in enumerate(outs)
    ]
    return Curvatures(
        table, outs, ins, dtypes, whole.out_tree, whole.in_tree, whole.aux
    )


def reference(quantity: Quantity, case: Case) -> PyTree:
    """Return what the function of that name must return for a case."""
    return curvatures(case).expected(quantity, case.options)


@contextlib.contextmanager
def _plain_attention() -> Generator[None]:
    """Take the one kernel of attention that can be differentiated twice."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(value=False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(value=fast)


def _call(case: Case) -> _Call:
    fn = copy.deepcopy(case.fn) if isinstance(case.fn, nn.Module) else case.fn
    args, in_tree, in_dims = vary(fn, case.args, case.options)
    out = fn(*args, **case.kwargs)
    out, aux = out if case.options.get("has_aux", False) else (out, None)
    aux = tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, aux)
    return _Call(out, aux, in_tree, in_dims)


def _of_point(call: _Call, place: int | None) -> list[list[list[Tensor]]]:
    """Return the second derivatives of all outputs, of one sample if `place` is one.

    Returns:
        For each output leaf, each first and each second input leaf: `(O, I, J)`.
    """
    inputs = float_leaves(call.in_tree)
    dims = call.in_dims if place is not None else [None] * len(inputs)
    found: list[list[list[Tensor]]] = []
    for out in float_leaves(call.out_tree):
        entries = (out if place is None else out[place]).reshape(-1)
        rows = [_hessian(entry, inputs, dims, place or 0) for entry in entries]
        sizes = [
            _without(x.shape, dim).numel() for x, dim in zip(inputs, dims, strict=True)
        ]
        found.append(
            [
                [
                    torch.stack([row[i][j] for row in rows])
                    if rows
                    else x.new_zeros(0, first, second)
                    for j, second in enumerate(sizes)
                ]
                for i, (x, first) in enumerate(zip(inputs, sizes, strict=True))
            ]
        )
    return found


def _hessian(
    value: Tensor, inputs: Sequence[Tensor], dims: Sequence[int | None], place: int
) -> list[list[Tensor]]:
    """Return the Hessian of one number, `(I, J)` for each pair of input leaves."""
    lines: list[list[Tensor]] = []
    first = _gradient(value, inputs, dims, place)
    sizes = [part.numel() for part in first]
    for x, part in zip(inputs, first, strict=True):
        rows = [_gradient(entry, inputs, dims, place) for entry in part]
        lines.append(
            [
                torch.stack([row[j].detach().to(x.dtype) for row in rows])
                if rows
                else x.new_zeros(0, size)
                for j, size in enumerate(sizes)
            ]
        )
    return lines


def _gradient(
    value: Tensor, inputs: Sequence[Tensor], dims: Sequence[int | None], place: int
) -> list[Tensor]:
    """Return the gradient of one number by each input, flattened, of one sample."""
    if not value.requires_grad:
        found: tuple[Tensor | None, ...] = (None,) * len(inputs)
    else:
        found = cast(
            "tuple[Tensor | None, ...]",
            torch.autograd.grad(value, inputs, create_graph=True, allow_unused=True),
        )
    return [
        _own(torch.zeros_like(x) if grad is None else grad, dim, place)
        for x, dim, grad in zip(inputs, dims, found, strict=True)
    ]


def _own(gradient: Tensor, dim: int | None, place: int) -> Tensor:
    return (gradient if dim is None else gradient.select(dim, place)).reshape(-1)


def _without(shape: torch.Size, dim: int | None) -> torch.Size:
    if dim is None:
        return shape
    dim %= len(shape)
    return torch.Size((*shape[:dim], *shape[dim + 1 :]))


def _stacked(
    parts: Sequence[Tensor], out: Shape, like: Tensor, first: Shape, second: Shape
) -> Tensor:
    """Put the samples side by side; of none the shape is told by the sizes."""
    sizes = [torch.Size(shape).numel() for shape in (out, first, second)]
    return torch.stack([*parts]) if parts else like.new_zeros(0, *sizes).detach()
