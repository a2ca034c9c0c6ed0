"""What else a call over a mesh may ask for, and what it refuses."""

import pytest

from tests.distributed.conftest import Worlds

CASES = (
    "normalised",
    "wrapped_in_ddp",
    "fully_sharded",
    "refusals",
    "gathers_too_much",
    "empty",
)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [2, 3])
def test_options(world: Worlds, size: int, case: str) -> None:
    world(size).run("options", case)


@pytest.mark.parametrize("layout", ["values", "coo", "csr"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_sparse(world: Worlds, size: int, layout: str) -> None:
    world(size).run("options", "sparse", layout)


@pytest.mark.parametrize("randomness", ["same", "different"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_random_functions(world: Worlds, size: int, randomness: str) -> None:
    world(size).run("options", "dropped", randomness)


def test_a_rank_that_makes_no_call(world: Worlds) -> None:
    world(2).run("options", "interrupted")


@pytest.mark.slow
def test_compiled(world: Worlds) -> None:
    world(2).run("options", "compiled")
