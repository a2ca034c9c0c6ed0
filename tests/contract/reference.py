"""The result that every strategy must return, by the plainest possible loop.

One `torch.autograd.grad` for each output entry; with `batch_dim`, one call of the
function for each sample. Nothing here is vectorised and nothing is shared with the
strategies, so an error of theirs cannot be an error of this file as well.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from tests.contract.nesting import Block, nest
from tests.contract.scenario import Case, Scenario
from tests.contract.tree import PyTree, float_leaves, tree_map
from tests.contract.varied import sample, vary

Blocks = list[list[Block]]
_Gradients = tuple[Tensor | None, ...]


@dataclass(frozen=True)
class _Call:
    """One call of the function, with the graph down to the varied tensors.

    Attributes:
        out_tree: What the function returned.
        aux: What it returned beside that.
        in_tree: The varied tensors, and whatever else lies between them.
        in_dims: The axis of the samples in each varied tensor, `None` if shared.
    """

    out_tree: PyTree
    aux: PyTree
    in_tree: PyTree
    in_dims: list[int | None]


def expected(scenario: Scenario, case: Case) -> PyTree:
    """Return what `jacobian` must return: the closed form, or else the loop."""
    if scenario.reference is not None:
        return scenario.reference(case)
    return reference_jacobian(case, coupled="coupled" in scenario.tags)


def reference_jacobian(case: Case, *, coupled: bool = False) -> PyTree:
    """Compute what `jacobian` must return for a case, entry by entry.

    The module, its buffers, the inputs and the random state are left as they are.

    Args:
        case: The call.
        coupled: The samples of the batch see each other, so they have to be given
            together. Per sample, only parameters can be differentiated then.

    Returns:
        The Jacobian, nested as the options say; with `has_aux`, a pair.
    """
    options = case.options
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        whole = _call(case)
        if options.get("batch_dim") is None:
            blocks = _full_blocks(whole)
        elif coupled or options.get("randomness", "error") != "error":
            blocks = _sample_blocks(whole)
        else:
            blocks = _one_by_one(case, whole)
    result = nest(
        blocks,
        out_tree=whole.out_tree,
        in_tree=whole.in_tree,
        rows=options.get("rows"),
        columns=options.get("columns"),
    )
    return (result, whole.aux) if options.get("has_aux", False) else result


def _call(case: Case) -> _Call:
    fn = copy.deepcopy(case.fn) if isinstance(case.fn, nn.Module) else case.fn
    args, in_tree, in_dims = vary(fn, case.args, case.options)
    out = fn(*args, **case.kwargs)
    out, aux = out if case.options.get("has_aux", False) else (out, None)
    return _Call(out, tree_map(_detached, aux), in_tree, in_dims)


def _detached(leaf: object) -> object:
    return leaf.detach() if isinstance(leaf, Tensor) else leaf


def _full_blocks(call: _Call) -> Blocks:
    """Return the Jacobian of the call as it is, without any notion of samples."""
    inputs = float_leaves(call.in_tree)
    return [
        [
            Block(
                values.reshape(out.numel(), x.numel()), tuple(out.shape), tuple(x.shape)
            )
            for x, values in zip(inputs, _gradients(out, inputs), strict=True)
        ]
        for out in float_leaves(call.out_tree)
    ]


def _sample_blocks(call: _Call) -> Blocks:
    """Return, for each sample of a batch, its output with respect to its input."""
    inputs = float_leaves(call.in_tree)
    return [
        [
            _diagonal(out, values, dim)
            for values, dim in zip(_gradients(out, inputs), call.in_dims, strict=True)
        ]
        for out in float_leaves(call.out_tree)
    ]


def _one_by_one(case: Case, whole: _Call) -> Blocks:
    """Return the same, giving the function only one sample at a time."""
    batch = float_leaves(whole.out_tree)[0].shape[0]
    parts = [_sample_blocks(_call(sample(case, b))) for b in range(batch)]
    if not parts:
        return _sample_blocks(whole)
    return [
        [
            Block(torch.cat([block.values for block in same]), out_shape, in_shape)
            for same in zip(*lines, strict=True)
            for out_shape, in_shape in [(same[0].out_shape, same[0].in_shape)]
        ]
        for lines in zip(*parts, strict=True)
    ]


def _diagonal(out: Tensor, values: Tensor, dim: int | None) -> Block:
    """Keep, of a batch's gradients, those within a sample.

    Args:
        out: The output, `(B, *out)`.
        values: One gradient for each entry of `out`, `(B*O, *in)`.
        dim: The axis of the samples within `*in`, `None` if there is none.

    Returns:
        A block of shape `(B, O, I)`.
    """
    batch, out_shape = out.shape[0], tuple(out.shape[1:])
    values = values.reshape(batch, math.prod(out_shape), *values.shape[1:])
    if dim is not None:
        own = [values[b].select(1 + dim, b) for b in range(batch)]
        values = torch.stack(own) if own else values.sum(2 + dim)
    in_shape = tuple(values.shape[2:])
    flat = values.reshape(batch, math.prod(out_shape), math.prod(in_shape))
    return Block(flat, out_shape, in_shape)


def _gradients(out: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return, for each input, its gradients for all entries of `out`: `(O, *in)`."""
    entries = [_gradient(out, index, inputs) for index in range(out.numel())]
    return [
        torch.stack(list(same)) if same else x.new_zeros((0, *x.shape))
        for x, same in zip(inputs, _transposed(entries, len(inputs)), strict=True)
    ]


def _gradient(out: Tensor, index: int, inputs: Sequence[Tensor]) -> list[Tensor]:
    if not out.requires_grad:
        return [x.new_zeros(x.shape) for x in inputs]
    entry = out.reshape(-1)[index]
    found = torch.autograd.grad(entry, inputs, retain_graph=True, allow_unused=True)
    return [
        x.new_zeros(x.shape) if grad is None else grad
        for x, grad in zip(inputs, cast("_Gradients", found), strict=True)
    ]


def _transposed(entries: Sequence[Sequence[Tensor]], width: int) -> list[list[Tensor]]:
    return [[entry[i] for entry in entries] for i in range(width)]
