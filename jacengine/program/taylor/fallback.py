"""Any other function of torch, by forward mode on that one function.

    y_t = d f [t],    y_l = d f [l] + sum_k d/de (d f(z + e t_k) [t_k])

Tangents of tangents by `torch.func.jvp` of `torch.func.jvp`, all directions by
`torch.func.vmap`, checked as in `agreement`. What is random, changes a tensor in place,
depends on how tensors lie in memory, or has no formula in torch is declined, by name.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from jacengine._torchfunc import Tensors, jvp
from jacengine.errors import UnsupportedError
from jacengine.program.taylor.consistency_check import agree
from jacengine.program.taylor.jet import Jet
from jacengine.program.taylor.pytree_args import primals_of
from jacengine.program.taylor.unsupported import name_of


def generic(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Return what a function makes of jets among its arguments.

    Args:
        function: Takes the arguments; returns tensors and other values, nested.
        args: Its arguments; jets may be nested in tuples, lists and dicts.
        kwargs: Its keywords, likewise.

    Raises:
        UnsupportedError: Torch cannot differentiate the function twice, forward.
    """
    value = function(*primals_of(args), **primals_of(kwargs))
    outputs, out_tree = pytree.tree_flatten(value)
    places = [i for i, y in enumerate(outputs) if _differentiable(y)]
    if not places:
        return value
    if any(outputs[i].is_complex() for i in places):
        raise UnsupportedError(f"{name_of(function)} gives complex numbers.")
    leaves, in_tree = pytree.tree_flatten((args, kwargs))
    jets: dict[int, Jet] = {}
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, Jet):
            jets[i] = leaf

    def flat(*primals: Tensor) -> Tensors:
        changed = list(leaves)
        for i, primal in zip(jets, primals, strict=True):
            changed[i] = primal
        given, named = pytree.tree_unflatten(changed, in_tree)
        every = pytree.tree_leaves(function(*given, **named))
        return tuple(every[i] for i in places)

    try:
        tangents, curvatures = _differentiated(flat, list(jets.values()))
        right = agree(flat, list(jets.values()))
    except (RuntimeError, NotImplementedError, ValueError) as error:
        raise UnsupportedError(
            f"{name_of(function)}: torch has no second derivatives of it in forward "
            f"mode, or it is random ({error})."
        ) from error
    if not right:
        raise UnsupportedError(
            f"{name_of(function)}: second derivatives by forward mode are not those "
            "by reverse mode."
        )
    first = next(iter(jets.values()))
    for place, t, bend in zip(places, tangents, curvatures, strict=True):
        outputs[place] = first.becomes(outputs[place], t, bend)
    return pytree.tree_unflatten(outputs, out_tree)


def _differentiated(
    flat: Callable[..., Tensors], jets: list[Jet]
) -> tuple[Tensors, Tensors]:
    """Return the tangents and the second-order coefficients of all outputs."""
    primals = tuple(jet.primal for jet in jets)

    def pushed(*tangents: Tensor) -> tuple[Tensors, Tensors]:
        def along(*moved: Tensor) -> Tensors:
            return jvp(flat, moved, tangents)

        return cast("tuple[Tensors, Tensors]", torch.func.jvp(along, primals, tangents))

    with warnings.catch_warnings():
        # Of operators that run one direction after another under vmap.
        warnings.filterwarnings("ignore", ".*batching rule")
        every = torch.func.vmap(pushed, randomness="error")
        tangents, bends = every(*(jet.dense() for jet in jets))
    bends = tuple(bend.sum(0) for bend in bends)
    if any(jet.curvature is not None for jet in jets):
        own = (jet.dense_curvature() for jet in jets)
        moved = jvp(
            flat,
            primals,
            tuple(
                torch.zeros_like(primal) if bend is None else bend.contiguous()
                for primal, bend in zip(primals, own, strict=True)
            ),
        )
        bends = tuple(a + b for a, b in zip(bends, moved, strict=True))
    return tangents, bends


def _differentiable(value: Any) -> bool:
    """Tell whether a value is a tensor of real or complex numbers.

    Raises:
        UnsupportedError: Something else may hide tensors.
    """
    if isinstance(value, Tensor):
        return value.is_floating_point() or value.is_complex()
    if value is None or isinstance(
        value, (bool, int, float, str, torch.dtype, torch.device, torch.layout)
    ):
        return False
    raise UnsupportedError(
        f"A {type(value).__name__} came out of a function of torch; expected tensors."
    )
