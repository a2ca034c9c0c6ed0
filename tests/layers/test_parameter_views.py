"""Views of a parameter, and their blocks in those of the whole."""

import torch
from torch import Tensor

from jacengine.layers.parameter_views import ParameterView
from tests.problems import randn


def test_views() -> None:
    whole = randn(4, 6)
    for taken in (whole, whole.t(), whole[1:3], whole[:, ::2], whole.view(3, 8).t()):
        view = ParameterView.of(taken, (4, 6))
        assert view.is_identity == (taken is whole)
        blocks = randn(2, 3, *taken.shape, seed=2)
        wanted = torch.zeros(2, 3, 4, 6, dtype=torch.float64)
        for a in range(2):
            for b in range(3):
                at = wanted[a, b].as_strided(
                    taken.shape,
                    taken.stride(),
                    wanted[a, b].storage_offset() + taken.storage_offset(),
                )
                at.copy_(blocks[a, b])

        def make(out: Tensor | None, blocks: Tensor = blocks) -> Tensor:
            return blocks if out is None else out.copy_(blocks)

        assert torch.equal(view.scatter(make, None), wanted)
        for out in (
            torch.full((2, 3, 4, 6), torch.nan, dtype=torch.float64),
            torch.full((3, 2, 4, 6), torch.nan, dtype=torch.float64).transpose(0, 1),
            torch.full((2, 3, 6, 4), torch.nan, dtype=torch.float64).mT,
        ):
            assert view.scatter(make, out) is out
            assert torch.equal(out, wanted)
