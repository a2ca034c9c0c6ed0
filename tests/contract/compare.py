"""Equality of results: structure, shape, dtype, and values within a tolerance."""

import torch
from torch import Tensor

from tests.contract.tree import PyTree, leaves, tree_map


def assert_same(actual: PyTree, wanted: PyTree, tolerance: float) -> None:
    """Check that two trees of tensors agree.

    Args:
        actual: The tree to check.
        wanted: The tree it must equal.
        tolerance: Largest error, relative to the largest entry of each wanted tensor
            (or to one, if that is larger).

    Raises:
        AssertionError: They differ; the message says where.
    """
    got, want = _structure(actual), _structure(wanted)
    assert got == want, f"structure: got {got}, expected {want}"
    for number, (a, w) in enumerate(zip(leaves(actual), leaves(wanted), strict=True)):
        if not isinstance(w, Tensor):
            assert a == w, f"leaf {number}: got {a!r}, expected {w!r}"
            continue
        assert a.shape == w.shape, f"leaf {number}: got {a.shape}, expected {w.shape}"
        assert a.dtype == w.dtype, f"leaf {number}: got {a.dtype}, expected {w.dtype}"
        error = _error(a, w)
        assert error <= tolerance, f"leaf {number}: error {error:.2e} > {tolerance:.0e}"


def _structure(tree: PyTree) -> str:
    kinds = tree_map(
        lambda leaf: "tensor" if isinstance(leaf, Tensor) else type(leaf).__name__, tree
    )
    return repr(kinds)


def _error(actual: Tensor, wanted: Tensor) -> float:
    if wanted.numel() == 0:
        return 0.0
    wide = torch.promote_types(wanted.dtype, torch.float64)
    a, w = actual.detach().to(wide), wanted.detach().to(wide)
    return float((a - w).abs().max() / w.abs().max().clamp(min=1.0))
