"""A fault of one rank is an error on all ranks, which names it, within the time-out."""

import pytest

from tests.distributed.conftest import Worlds


@pytest.mark.parametrize(
    "case",
    [
        "raises_at_first",
        "raises_later",
        "wrong",
        "over_budget",
        "out_of_memory",
        "another_call",
        "another_cache",
        "another_disk_cache",
    ],
)
@pytest.mark.parametrize("size", [2, 3])
def test_faults(world: Worlds, size: int, case: str) -> None:
    world(size).run("faults", case)


def test_a_rank_that_is_late(world: Worlds) -> None:
    world(2).run("faults", "sleeps")
