"""Products of factored blocks, against the blocks themselves."""

import pytest
import torch

from jacengine.linear_operators import factors
from jacengine.linear_operators.factors import (
    Dense,
    EmbeddingFactor,
    Factor,
    Outer,
    Products,
    add_kernel,
)
from jacengine.linear_operators.matrix_free import PART
from tests.problems import randn


def outer(samples: int, entries: int, positions: int, seed: int = 0) -> Outer:
    """Return a block of two groups, each `(3, 4)`."""
    left = randn(samples, entries, 2, 3, positions, seed=seed)
    return Outer(left, randn(samples, 2, 4, positions, seed=seed + 1), (6, 4))


def embedding(samples: int, entries: int, positions: int) -> EmbeddingFactor:
    generator = torch.Generator().manual_seed(samples)
    index = torch.randint(0, 6, (samples, positions), generator=generator)
    return EmbeddingFactor(index, randn(samples, entries, positions, 4), (6, 4))


FACTORS: dict[str, Factor] = {
    "one position": outer(3, 2, 1),
    "positions": outer(4, 3, 5),
    "many positions": outer(2, 1, 40),
    "embedding": embedding(3, 2, 4),
    "few rows of a table": embedding(5, 1, 2),
    "dense": Dense(randn(2, 3, 6, 4)),
}


@pytest.mark.parametrize("part", [PART, 16], ids=["at once", "in parts"])
@pytest.mark.parametrize("mine", FACTORS)
@pytest.mark.parametrize("theirs", FACTORS)
def test_kernel(
    mine: str, theirs: str, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(factors, "PART", part)
    blocks = [FACTORS[name].dense(None, slice(None)) for name in (mine, theirs)]
    wanted = torch.einsum("skpq,tlpq->sktl", *blocks)
    total = torch.ones_like(wanted)
    add_kernel(FACTORS[mine], FACTORS[theirs], total, Products())
    torch.testing.assert_close(total, 1 + wanted)
