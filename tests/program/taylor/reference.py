"""Second directional derivatives by plain reverse mode over reverse mode."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from jacengine.program.taylor.propagate import propagate

DIRECTIONS = 3
SAMPLES = 4


def reference(
    function: Callable[..., Any],
    primals: tuple[Tensor, ...],
    tangents: tuple[Tensor, ...],
) -> Tensor:
    """Contract all Hessians of one output with the directions, entry by entry."""
    inputs = tuple(
        p if p.requires_grad else p.clone().requires_grad_() for p in primals
    )
    y = function(*inputs)
    if not y.requires_grad:
        return torch.zeros_like(y)
    entries: list[Tensor] = []
    for entry in y.reshape(-1):
        (*gradients,) = torch.autograd.grad(
            entry, inputs, create_graph=True, materialize_grads=True
        )
        total = entry.new_zeros(())
        for k in range(tangents[0].shape[0]):
            along = torch.stack(
                [(g * v[k]).sum() for g, v in zip(gradients, tangents, strict=True)]
            ).sum()
            if not along.requires_grad:
                continue
            bends = torch.autograd.grad(
                along, inputs, create_graph=True, materialize_grads=True
            )
            for bend, v in zip(bends, tangents, strict=True):
                total = total + (bend * v[k]).sum()
        entries.append(total)
    return torch.stack(entries).reshape(y.shape)


def seeds(primals: tuple[Tensor, ...], *, broadcast: bool) -> tuple[Tensor, ...]:
    """Draw directions: each sample's own, or one for all as an expanded view."""
    torch.manual_seed(1)
    drawn = [torch.randn(DIRECTIONS, *p.shape, dtype=p.dtype) for p in primals]
    return tuple(v[:, :1].expand_as(v) if broadcast else v for v in drawn)


def point(*shape: int) -> Tensor:
    """Draw one primal."""
    torch.manual_seed(0)
    return torch.randn(*shape, dtype=torch.float64)


def check(function: Callable[..., Any], *primals: Tensor) -> None:
    """Compare a pass with the reference, with broadcast and dense directions."""
    for broadcast in (False, True):
        tangents = seeds(primals, broadcast=broadcast)
        (found,) = propagate(lambda *p: (function(*p),), primals, tangents)
        expected = reference(function, primals, tangents)
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        assert not found.requires_grad
        torch.testing.assert_close(
            found, expected.detach(), rtol=1e-8, atol=1e-9, equal_nan=True
        )
