"""Derivatives along one direction, by central differences and by a Jacobian.

It shares nothing with the reference but the words: which tensors are varied is found
anew, the function is given the whole batch, and autograd is not used at all.
"""

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from tests.contract.scenario import Case
from tests.contract.tree import PyTree, float_leaves, is_float, leaves, tree_map

_STEP = 1e-5


def random_direction(case: Case) -> list[Tensor]:
    """Return a random tensor for each tensor that the case varies, in order."""
    generator = torch.Generator().manual_seed(7)
    return [
        torch.randn(x.shape, dtype=x.dtype, generator=generator)
        for x in _varied(case, case.fn)
    ]


def by_differences(case: Case, direction: Sequence[Tensor]) -> list[Tensor]:
    """Return the change of each output leaf, per unit of the direction."""
    above, below = (_moved(case, direction, step) for step in (_STEP, -_STEP))
    return [(a - b) / (2.0 * _STEP) for a, b in zip(above, below, strict=True)]


def by_jacobian(
    case: Case, jacobian: PyTree, direction: Sequence[Tensor]
) -> list[Tensor]:
    """Return the product of a Jacobian with the direction, flattened, a leaf each.

    Args:
        case: A case without `rows` and `columns`, with entries in and out.
        jacobian: What `jacobian` returns for it, without `aux`.
        direction: A tensor for each varied tensor.

    Returns:
        Products in the order of the output leaves, each with as many entries.
    """
    columns = _by_sample(case, direction)
    batch = len(columns[0])
    blocks = cast("list[Tensor]", [x for x in leaves(jacobian) if x is not None])
    width = len(columns)
    products: list[Tensor] = []
    for start in range(0, len(blocks), width):
        line = blocks[start : start + width]
        terms = [
            block.reshape(batch, -1, column.shape[1]) @ column.unsqueeze(-1)
            for block, column in zip(line, columns, strict=True)
        ]
        products.append(torch.stack(terms).sum(0).reshape(-1))
    return products


def _names(case: Case) -> list[str] | None:
    wrt = case.options.get("wrt", 0)
    if isinstance(wrt, list):
        return cast("list[str]", wrt)
    if wrt != "params":
        return None
    parameters = cast("nn.Module", case.fn).named_parameters()
    return [name for name, parameter in parameters if parameter.requires_grad]


def _positions(case: Case) -> list[int]:
    wrt = case.options.get("wrt", 0)
    if wrt == "inputs":
        return [i for i, arg in enumerate(case.args) if float_leaves(arg)]
    return [*wrt] if isinstance(wrt, tuple) else [wrt]


def _varied(case: Case, fn: object) -> list[Tensor]:
    names = _names(case)
    if names is None:
        return [x for i in _positions(case) for x in float_leaves(case.args[i])]
    every = dict(cast("nn.Module", fn).named_parameters(remove_duplicate=False))
    return [every[name] for name in names]


def _moved(case: Case, direction: Sequence[Tensor], step: float) -> list[Tensor]:
    fn, args = copy.deepcopy(case.fn), list(case.args)
    remaining = iter(direction)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        if _names(case) is not None:
            for parameter in _varied(case, fn):
                parameter.add_(next(remaining), alpha=step)
        else:
            for position in _positions(case):
                args[position] = tree_map(
                    lambda x: x + step * next(remaining) if is_float(x) else x,
                    args[position],
                )
        out = fn(*args, **case.kwargs)
    return float_leaves(out[0] if case.options.get("has_aux", False) else out)


def _by_sample(case: Case, direction: Sequence[Tensor]) -> list[Tensor]:
    """Return, for each tensor of the direction, what each sample sees: `(B, I)`."""
    batch_dim = case.options.get("batch_dim")
    if batch_dim is None:
        return [x.reshape(1, -1) for x in direction]
    dims: list[int | None] = [None] * len(direction)
    if _names(case) is None:
        by_arg = (
            cast("tuple[int | None, ...]", batch_dim)
            if isinstance(batch_dim, tuple)
            else (batch_dim,) * len(case.args)
        )
        dims = [by_arg[i] for i in _positions(case) for _ in float_leaves(case.args[i])]
    batch = _batch_size(case)
    return [
        x.reshape(1, -1).expand(batch, -1)
        if dim is None
        else x.movedim(dim, 0).flatten(1)
        if x.dim() > 1
        else x.unsqueeze(1)
        for x, dim in zip(direction, dims, strict=True)
    ]


def _batch_size(case: Case) -> int:
    return len(
        _moved(case, [torch.zeros_like(x) for x in random_direction(case)], 0)[0]
    )
