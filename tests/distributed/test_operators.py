"""Products with a Jacobian that is spread over a mesh."""

from itertools import product

import pytest

from tests.distributed.conftest import Worlds


@pytest.mark.parametrize("how", [*product([False, True], [True, False])])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_by_parameters(world: Worlds, size: int, how: tuple[bool, bool]) -> None:
    world(size).run("operators", "parameters", *how)


@pytest.mark.parametrize("gather", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_by_inputs(world: Worlds, size: int, gather: bool) -> None:
    world(size).run("operators", "inputs", gather)


@pytest.mark.parametrize("size", [2, 3])
def test_faults(world: Worlds, size: int) -> None:
    world(size).run("operators", "faults")
