"""Shards are those that a `DTensor` expects, and all ranks compute equally much."""

import pytest
import torch

from jacengine.distributed.window import Window


@pytest.mark.parametrize("least", [1, 2])
@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [0, 1, 2, 4, 7, 10])
def test_shards_are_chunks(size: int, ranks: int, least: int) -> None:
    axis = torch.arange(size)
    windows = [Window(size, ranks, rank, least) for rank in range(ranks)]
    chunks = [*axis.chunk(ranks), *[axis[:0]] * ranks][:ranks]
    for window, chunk in zip(windows, chunks, strict=True):
        assert axis[window.shard].tolist() == chunk.tolist()
        computed = axis[window.computed]
        assert window.trimmed(computed, 0).tolist() == chunk.tolist()
    lengths = {len(axis[window.computed]) for window in windows}
    assert lengths == {min(size, max(least, -(-size // ranks)))}
