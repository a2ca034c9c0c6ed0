"""Fallback for any other function of torch: forward mode over forward mode.

    y_t = d f [t],    y_s = d f [s] + sum_k d/de (d f(z + e t_k) [t_k])

Tangents of tangents by `torch.func.jvp` of `torch.func.jvp`, all directions by
`torch.func.vmap`. A function raises if it is random, changes a tensor in place, depends
on memory layout, or has no derivative formula in torch.

Verified by forward mode over reverse mode, with one random tangent w and cotangent u:

    <u, d/de (d f(z + e w) [w])> = d/de <d f(z + e w)^T u, w>

Where a derivative formula of torch's keeps a result and takes it for a constant at the
next level, its second derivatives are wrong without a message: in torch 2.13, of
`batch_norm` and `linalg.solve`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from jacengine import pytrees
from jacengine._torchfunc import Tensors, jvp, vjp
from jacengine.errors import UnsupportedError, kind_of
from jacengine.program.taylor.jet import Jet, primals_of, second_order_of
from jacengine.program.taylor.unsupported import name_of
from jacengine.tolerance import TOLERANCES


def fallback(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Compute a function of torch on jets, nested in its arguments and keywords.

    Raises:
        UnsupportedError: Torch cannot differentiate the function twice, forward.
    """
    value = function(*primals_of(args), **primals_of(kwargs))
    outputs, out_tree = pytrees.flatten(value)
    active = [i for i, y in enumerate(outputs) if _is_differentiable(y)]
    if not active:
        return value
    if any(outputs[i].is_complex() for i in active):
        raise UnsupportedError(f"{name_of(function)} gives complex numbers.")
    leaves, in_tree = pytrees.flatten((args, dict(kwargs)))
    jets = {i: leaf for i, leaf in enumerate(leaves) if isinstance(leaf, Jet)}

    def flat(*primals: Tensor) -> Tensors:
        changed = list(leaves)
        for i, primal in zip(jets, primals, strict=True):
            changed[i] = primal
        given, named = in_tree.unflatten(changed)
        every = pytrees.flatten(function(*given, **named))[0]
        return tuple(every[i] for i in active)

    try:
        tangents, seconds = _coefficients(flat, list(jets.values()))
        verified = _modes_agree(flat, list(jets.values()))
    except (RuntimeError, NotImplementedError, ValueError) as error:
        raise UnsupportedError(
            f"{name_of(function)}: torch has no second derivatives of it in forward "
            f"mode, or it is random ({error})."
        ) from error
    if not verified:
        raise UnsupportedError(
            f"{name_of(function)}: second derivatives by forward mode are not those "
            "by reverse mode."
        )
    first = next(iter(jets.values()))
    for i, t, second in zip(active, tangents, seconds, strict=True):
        outputs[i] = first.with_coefficients(outputs[i], t, second)
    return out_tree.unflatten(outputs)


def _coefficients(
    flat: Callable[..., Tensors], jets: list[Jet]
) -> tuple[Tensors, Tensors]:
    """Return the tangents and the second-order coefficients of all outputs."""
    primals = tuple(jet.primal for jet in jets)

    def pushforward(*tangents: Tensor) -> tuple[Tensors, Tensors]:
        return _derivatives(flat, primals, tangents)

    with warnings.catch_warnings():
        # Of operators that run one direction after another under vmap.
        warnings.filterwarnings("ignore", ".*batching rule")
        vectorised = torch.func.vmap(pushforward, randomness="error")
        tangents, seconds = vectorised(*(jet.dense_tangents() for jet in jets))
    seconds = tuple(second.sum(0) for second in seconds)
    if any(jet.second_order is not None for jet in jets):
        linear = jvp(flat, primals, tuple(map(second_order_of, jets)))
        seconds = tuple(a + b for a, b in zip(seconds, linear, strict=True))
    return tangents, seconds


def _derivatives(
    flat: Callable[..., Tensors], primals: Tensors, tangents: Tensors
) -> tuple[Tensors, Tensors]:
    """Return the first and the second derivative along tangents."""
    found = torch.func.jvp(lambda *z: jvp(flat, z, tangents), primals, tangents)
    return cast("tuple[Tensors, Tensors]", found)


def _is_differentiable(value: Any) -> bool:
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
        f"A function of torch returned {kind_of(value)}; expected tensors."
    )


def _modes_agree(flat: Callable[..., Tensors], jets: list[Jet]) -> bool:
    """Compare both modes along one random tangent, a sum of the directions."""
    # In grad mode: without, formulas of reverse mode take factors for constants too.
    with torch.enable_grad():
        primals = tuple(jet.primal.detach() for jet in jets)
        generator = torch.Generator().manual_seed(0)
        weights = torch.randn(
            jets[0].tangents.shape[0], generator=generator, device="cpu"
        )
        tangents = tuple(
            torch.tensordot(weights.to(primal), jet.dense_tangents().detach(), 1)
            for jet, primal in zip(jets, primals, strict=True)
        )
        first, second = _derivatives(flat, primals, tangents)
        cotangents = tuple(
            torch.randn(y.shape, generator=generator, device="cpu").to(y) for y in first
        )

        def slope(*z: Tensor) -> Tensor:
            return _inner(vjp(flat, z)[1](*cotangents), tangents)

        slopes, bends = cast(
            "tuple[Tensor, Tensor]", torch.func.jvp(slope, primals, tangents)
        )
        return _close(slopes, first, cotangents) and _close(bends, second, cotangents)


def _inner(a: Tensors, b: Tensors) -> Tensor:
    """Return the inner product."""
    return torch.stack([(x * y).sum() for x, y in zip(a, b, strict=True)]).sum()


def _close(value: Tensor, terms: Tensors, weights: Tensors) -> bool:
    """Tell whether an inner product agrees, to half of the digits of its terms."""
    size = _inner(tuple(x.abs() for x in terms), tuple(w.abs() for w in weights))
    scale = float(torch.maximum(size, value.abs()).detach().nan_to_num(posinf=0.0))
    tolerance = TOLERANCES[value.dtype].value * scale
    expected = _inner(terms, weights)
    return torch.allclose(value, expected, rtol=0.0, atol=tolerance, equal_nan=True)
