"""Forward mode over forward mode, verified by forward mode over reverse mode.

    <u, d/de (d f(z + e w) [w])> = d/de <d f(z + e w)^T u, w>

Where a derivative formula of torch's keeps a result and takes it for a constant at the
next level, its second derivatives are wrong without a message: in torch 2.13, of
`batch_norm` and `linalg.solve`. One random tangent w and one cotangent u show it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors, jvp, vjp
from jacengine.program.taylor.jet import Jet
from jacengine.tolerance import TOLERANCES


def modes_agree(flat: Callable[..., Tensors], jets: list[Jet]) -> bool:
    """Compare both modes along one random tangent.

    Args:
        flat: The function, of the jets' primals.
        jets: Where to compare, and the directions to combine.
    """
    # In grad mode: without, formulas of reverse mode take factors for constants too.
    with torch.enable_grad():
        primals = tuple(jet.primal.detach() for jet in jets)
        generator = torch.Generator().manual_seed(0)
        weights = torch.randn(jets[0].tangents.shape[0], generator=generator)
        tangents = tuple(
            torch.tensordot(weights.to(primal), jet.dense_tangents().detach(), 1)
            for jet, primal in zip(jets, primals, strict=True)
        )
        first, second = cast(
            "tuple[Tensors, Tensors]",
            torch.func.jvp(lambda *z: jvp(flat, z, tangents), primals, tangents),
        )
        cotangents = tuple(
            torch.randn(y.shape, generator=generator).to(y) for y in first
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
