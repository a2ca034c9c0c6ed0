"""Jacobians over a mesh are those of one process, as `torch.func` computes them."""

from itertools import product

import pytest

from tests.distributed.calls import CASES
from tests.distributed.conftest import Worlds

WORLDS = pytest.mark.parametrize("size", [1, 2, 3])


@WORLDS
@pytest.mark.parametrize("how", [*product(["auto", "plan"], [False, True])])
@pytest.mark.parametrize(
    "what", [("inputs", "dict"), ("params", "dict"), ("params", "flat")]
)
def test_samples(
    world: Worlds, size: int, what: tuple[str, str], how: tuple[str, bool]
) -> None:
    world(size).run("calls", "samples", *what, *how)


@WORLDS
@pytest.mark.parametrize("how", [*product(["rows", "columns"], [False, True])])
@pytest.mark.parametrize("case", [*CASES])
def test_entries(world: Worlds, size: int, case: str, how: tuple[str, bool]) -> None:
    world(size).run("calls", "entries", case, *how)


@WORLDS
@pytest.mark.parametrize(
    "case", ["hessian_samples", "another_batch", "side_inputs", "chosen_axis"]
)
def test_calls(world: Worlds, size: int, case: str) -> None:
    world(size).run("calls", case)
