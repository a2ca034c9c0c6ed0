"""Whether two Jacobians are the same."""

from typing import Any

import torch
from torch.utils import _pytree as pytree


def agree(found: Any, expected: Any) -> None:
    """Fail unless two float64 Jacobians nest alike and are equal up to rounding."""
    theirs, nested = pytree.tree_flatten(found)
    ours, wanted = pytree.tree_flatten(expected)
    assert nested == wanted
    for block, reference in zip(theirs, ours, strict=True):
        assert not block.requires_grad
        scale = float(reference.abs().max()) if reference.numel() else 0.0
        torch.testing.assert_close(block, reference, rtol=1e-10, atol=1e-12 * scale)
