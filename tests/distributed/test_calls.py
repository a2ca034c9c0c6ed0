"""Jacobians over a mesh are those of one process, as `torch.func` computes them."""

import pytest

from tests.distributed.conftest import Worlds

WORLDS = pytest.mark.parametrize("size", [1, 2, 3])


@WORLDS
@pytest.mark.parametrize("api", ["auto", "plan"])
@pytest.mark.parametrize("gather", [False, True])
@pytest.mark.parametrize(
    ("wrt", "layout"), [("inputs", "dict"), ("params", "dict"), ("params", "flat")]
)
def test_samples(
    world: Worlds, size: int, wrt: str, layout: str, gather: bool, api: str
) -> None:
    world(size).run("calls", "samples", wrt, layout, gather, api)
