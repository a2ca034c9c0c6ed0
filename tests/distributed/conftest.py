from collections.abc import Callable, Iterator

import pytest

from tests.distributed.worlds import World

Worlds = Callable[[int], World]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    """Return the world of a size, whose processes serve all tests."""
    made: dict[int, World] = {}

    def of(size: int) -> World:
        if size not in made:
            made[size] = World(size, tmp_path_factory.mktemp(f"world{size}"))
        return made[size]

    yield of
    for one in made.values():
        one.close()
