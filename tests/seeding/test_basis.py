"""Directions: each once, in blocks of nearly equal size, made a block at a time."""

import hypothesis.strategies as st
import torch
from hypothesis import given

from jacengine.problem.call_spec import TensorSpec
from jacengine.seeding.basis import OneHotSeeds
from jacengine.task import balanced

CPU = torch.device("cpu")


@given(total=st.integers(0, 50), chunk_size=st.one_of(st.none(), st.integers(1, 60)))
def test_blocks_are_balanced(total: int, chunk_size: int | None) -> None:
    blocks = list(balanced(total, chunk_size))
    assert [i for b in blocks for i in range(total)[b]] == list(range(total))
    sizes = [block.stop - block.start for block in blocks]
    assert len(sizes) == (0 if total == 0 else -(-total // (chunk_size or total)))
    assert max(sizes, default=0) <= (chunk_size or total)
    assert max(sizes, default=0) - min(sizes, default=0) <= 1


def leaf(*shape: int, dtype: torch.dtype = torch.float64) -> TensorSpec:
    return TensorSpec("x", shape, dtype, CPU)


@given(
    indices=st.lists(st.integers(0, 8), max_size=12),
    chunk_size=st.one_of(st.none(), st.integers(1, 5)),
)
def test_seeds_are_basis_vectors_over_all_leaves(
    indices: list[int], chunk_size: int | None
) -> None:
    leaves = (leaf(2, 2), leaf(), leaf(0), leaf(4, dtype=torch.float32))
    seeding = OneHotSeeds(leaves, (None,) * 4, torch.tensor(indices, dtype=torch.int64))
    assert seeding.count == len(indices)
    for block in balanced(seeding.count, chunk_size):
        seeds = seeding.seeds(block)
        count = block.stop - block.start
        for seed, of in zip(seeds, leaves, strict=True):
            assert seed.shape == (count, *of.shape)
            assert seed.dtype == of.dtype
        flat = torch.cat([seed.reshape(count, -1).double() for seed in seeds], dim=1)
        wanted = torch.eye(9, dtype=torch.float64)[indices[block]]
        assert torch.equal(flat, wanted)


def test_seeds_of_all_samples_are_one_view() -> None:
    seeding = OneHotSeeds((leaf(3),), (1000,), range(3))
    (seed,) = seeding.seeds(slice(0, 3))
    assert seed.shape == (3, 1000, 3)
    assert torch.equal(seed[:, 17], torch.eye(3, dtype=torch.float64))
    assert seed.untyped_storage().nbytes() == 9 * 8
