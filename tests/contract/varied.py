"""Which tensors of a call are varied, and how one sample is taken out of a batch."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from tests.contract.scenario import Case
from tests.contract.tree import PyTree, float_leaves, is_float, tree_map

Dims = list[int | None]


def vary(
    fn: Callable[..., Any], args: tuple[PyTree, ...], options: Mapping[str, Any]
) -> tuple[tuple[PyTree, ...], PyTree, Dims]:
    """Make the tensors that `wrt` names require grad.

    Args:
        fn: The function; its parameters are changed in place if `wrt` names them.
        args: Its arguments, which are not changed.
        options: Options of the case.

    Returns:
        The arguments to call it with; the varied tensors, nested as the result is to
        be; the axis of the samples in each of them, `None` if the samples share it.
    """
    wrt = options.get("wrt", 0)
    if isinstance(fn, nn.Module) and (wrt == "params" or isinstance(wrt, list)):
        named = _parameters(fn, options)
        return args, named, [None] * len(named)
    indices = _indices(args, wrt)
    args = tuple(
        tree_map(_leaf, arg) if index in indices else arg
        for index, arg in enumerate(args)
    )
    dims = batch_dims(args, options)
    varied = tuple(args[index] for index in indices)
    in_dims = [
        dims[index] if leaf.dim() > 0 else None
        for index in indices
        for leaf in float_leaves(args[index])
    ]
    is_tuple = isinstance(wrt, tuple) or len(indices) > 1
    return args, varied if is_tuple else varied[0], in_dims


def sample(case: Case, index: int) -> Case:
    """Return the same call with a batch of one: the sample at `index`."""

    def pick(tree: PyTree, dim: int | None) -> PyTree:
        if dim is None:
            return tree
        return tree_map(lambda leaf: _narrowed(leaf, dim, index), tree)

    dims = batch_dims(case.args, case.options)
    return dataclasses.replace(
        case,
        args=tuple(pick(arg, dim) for arg, dim in zip(case.args, dims, strict=True)),
        kwargs=pick(case.kwargs, 0),
    )


def batch_dims(args: tuple[PyTree, ...], options: Mapping[str, Any]) -> Dims:
    """Return the axis of the samples in each argument, as `in_dims` of vmap."""
    batch_dim: int | tuple[int | None, ...] | None = options.get("batch_dim")
    if isinstance(batch_dim, tuple):
        return list(batch_dim)
    return [batch_dim] * len(args)


def _parameters(module: nn.Module, options: Mapping[str, Any]) -> dict[str, Tensor]:
    if options["wrt"] == "params":
        return {n: p for n, p in module.named_parameters() if p.requires_grad}
    every = dict(module.named_parameters(remove_duplicate=False))
    return {name: every[name].requires_grad_() for name in options["wrt"]}


def _indices(args: tuple[PyTree, ...], wrt: int | tuple[int, ...] | str) -> list[int]:
    if isinstance(wrt, int):
        return [wrt]
    if isinstance(wrt, tuple):
        return list(wrt)
    return [index for index, arg in enumerate(args) if float_leaves(arg)]


def _leaf(leaf: object) -> object:
    return leaf.detach().requires_grad_() if is_float(leaf) else leaf


def _narrowed(leaf: object, dim: int, index: int) -> object:
    """Return a sample, still with its axis; what has no axes, all samples share."""
    if not isinstance(leaf, Tensor) or leaf.dim() == 0:
        return leaf
    return leaf.narrow(dim, index, 1)
