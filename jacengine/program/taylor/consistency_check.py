"""Forward mode over forward mode, checked by forward mode over reverse mode.

    <u, d/de (d f(z + e w) [w])> = d/de <d f(z + e w)^T u, w>

Where a formula of torch's keeps a result and takes it for a constant at the next level,
its second derivatives are wrong without a word: in torch 2.13, of `batch_norm` and
`linalg.solve`. One random direction w and one cotangent u tell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors, jvp, vjp
from jacengine.program.taylor.jet import Jet


def agree(flat: Callable[..., Tensors], jets: list[Jet]) -> bool:
    """Compare both modes along one random direction.

    Args:
        flat: The function, of the jets' values.
        jets: Where, and the directions to combine.
    """
    # In grad mode: without, formulas of reverse mode take factors for constants too.
    with torch.enable_grad():
        primals = tuple(jet.primal.detach() for jet in jets)
        draw = torch.Generator().manual_seed(0)
        signs = torch.randn(jets[0].tangents.shape[0], generator=draw).to(primals[0])
        along = tuple(
            torch.tensordot(signs.to(jet.primal.dtype), jet.dense().detach(), 1)
            for jet in jets
        )
        first, second = cast(
            "tuple[Tensors, Tensors]",
            torch.func.jvp(lambda *moved: jvp(flat, moved, along), primals, along),
        )
        cotangents = tuple(torch.randn(y.shape, generator=draw).to(y) for y in first)

        def slope(*moved: Tensor) -> Tensor:
            pulled = vjp(flat, moved)[1](*cotangents)
            return _paired(pulled, along)

        slopes, bends = cast(
            "tuple[Tensor, Tensor]", torch.func.jvp(slope, primals, along)
        )
        return all(
            _close(found, _paired(forward, cotangents), forward, cotangents)
            for found, forward in ((slopes, first), (bends, second))
        )


def _paired(a: Tensors, b: Tensors) -> Tensor:
    """Sum the products of entries."""
    return torch.stack([(x * y).sum() for x, y in zip(a, b, strict=True)]).sum()


def _close(a: Tensor, b: Tensor, terms: Tensors, weights: Tensors) -> bool:
    """Tell whether sums agree, to half of the digits of their terms."""
    size = _paired(tuple(x.abs() for x in terms), tuple(w.abs() for w in weights))
    scale = float(torch.maximum(size, a.abs()).detach().nan_to_num(posinf=0.0))
    tolerance = torch.finfo(a.dtype).eps ** 0.5 * scale
    return torch.allclose(a, b, rtol=0.0, atol=tolerance, equal_nan=True)
