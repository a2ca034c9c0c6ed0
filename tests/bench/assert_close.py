"""Assert that two derivatives are equal."""

from typing import Any

import torch
from torch.utils import _pytree as pytree


def assert_close(found: Any, expected: Any) -> None:
    """Fail unless two float64 results nest alike and are equal up to rounding."""
    results, structure = pytree.tree_flatten(found)
    references, expected_structure = pytree.tree_flatten(expected)
    assert structure == expected_structure
    for block, reference in zip(results, references, strict=True):
        assert not block.requires_grad
        scale = float(reference.abs().max()) if reference.numel() else 0.0
        torch.testing.assert_close(block, reference, rtol=1e-10, atol=1e-12 * scale)
