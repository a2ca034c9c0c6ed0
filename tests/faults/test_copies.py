"""Plans, operators and their records, pickled and copied."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import jacengine
from tests.problems import mlp, randn

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
MODEL, X = mlp(3, 8, 4), randn(5, 3)


def cube(x: Tensor) -> Tensor:
    return (x**3).sum(-1)


OBJECTS: dict[str, tuple[Callable[[], Any], Callable[[Any], Tensor]]] = {
    "plan": (lambda: jacengine.plan(MODEL, X, batch_dim=0), lambda plan: plan(X)),
    "plan of parameters": (
        lambda: jacengine.plan(MODEL, X, batch_dim=0, wrt="params", layout="flat"),
        lambda plan: plan(X),
    ),
    "plan of layers": (
        lambda: jacengine.plan(
            MODEL,
            X,
            batch_dim=0,
            wrt="params",
            layout="flat",
            strategies=["quasi_linear"],
        ),
        lambda plan: plan(X),
    ),
    "laplacian": (
        lambda: jacengine.plan(cube, X, batch_dim=0, quantity="laplacian"),
        lambda plan: plan(X),
    ),
    "operator": (
        lambda: jacengine.operator(MODEL, X, batch_dim=0, wrt="params"),
        lambda operator: operator.gram(),
    ),
    "operator elsewhere": (
        lambda: jacengine.operator(MODEL, X, batch_dim=0).at(2 * X),
        lambda operator: operator.gram(),
    ),
}
WAYS: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("name", OBJECTS)
def test_a_copy_computes_the_same(name: str, way: Callable[[Any], Any]) -> None:
    make, use = OBJECTS[name]
    original = make()
    wanted = use(original)
    for _ in range(2):
        assert torch.allclose(use(way(original)), wanted)
    assert torch.allclose(use(original), wanted)


def test_records() -> None:
    plan = jacengine.plan(MODEL, X, batch_dim=0, wrt="params")
    result = jacengine.benchmark(MODEL, X, batch_dim=0)
    for value in (plan.problem, plan.signature, result):
        assert type(pickle.loads(pickle.dumps(value))) is type(value)
