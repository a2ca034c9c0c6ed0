"""Views of a parameter, and their blocks in those of the whole."""

import torch
from torch import Tensor

from jacengine.layers.parameter_views import Part
from tests.problems import randn


def test_parts() -> None:
    whole = randn(4, 6)
    for view in (whole, whole.t(), whole[1:3], whole[:, ::2], whole.view(3, 8).t()):
        part = Part.of(view, (4, 6))
        assert part.as_it_lies == (view is whole)
        blocks = randn(2, 3, *view.shape, seed=2)
        wanted = torch.zeros(2, 3, 4, 6, dtype=torch.float64)
        for a in range(2):
            for b in range(3):
                at = wanted[a, b].as_strided(
                    view.shape,
                    view.stride(),
                    wanted[a, b].storage_offset() + view.storage_offset(),
                )
                at.copy_(blocks[a, b])

        def make(out: Tensor | None, blocks: Tensor = blocks) -> Tensor:
            return blocks if out is None else out.copy_(blocks)

        assert torch.equal(part.filled(make, None), wanted)
        for out in (
            torch.full((2, 3, 4, 6), torch.nan, dtype=torch.float64),
            torch.full((3, 2, 4, 6), torch.nan, dtype=torch.float64).transpose(0, 1),
            torch.full((2, 3, 6, 4), torch.nan, dtype=torch.float64).mT,
        ):
            assert part.filled(make, out) is out
            assert torch.equal(out, wanted)
