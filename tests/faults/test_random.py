"""Random numbers: noticed wherever they come from, and left alone in other threads."""

import random
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine import RandomnessError
from tests.problems import mlp, randn

X = randn(5, 3)
TORCH, NUMPY = torch.Generator(), np.random.default_rng(0)
LEGACY, PYTHON = np.random.RandomState(0), random.Random(0)


def noise(array: Any) -> Tensor:
    return torch.as_tensor(array, dtype=torch.float64)


SOURCES: dict[str, Callable[[Tensor], Tensor]] = {
    "torch, default": lambda x: x * torch.rand(3),
    "torch": lambda x: x * torch.rand(3, generator=TORCH, dtype=x.dtype),
    "NumPy": lambda x: x * noise(NUMPY.random(3)),
    "NumPy, legacy": lambda x: x * noise(LEGACY.rand(3)),
    "NumPy, global": lambda x: x * noise(np.random.rand(3)),
    "Python": lambda x: x * PYTHON.random(),
    "Python, global": lambda x: x * random.random(),
}


def states() -> list[object]:
    return [
        TORCH.get_state().tolist(),
        str(NUMPY.bit_generator.state),
        str(LEGACY.get_state()),
        str(np.random.get_state()),
        PYTHON.getstate(),
        random.getstate(),
    ]


@pytest.mark.parametrize("batch_dim", [0, None])
@pytest.mark.parametrize("fn", SOURCES.values(), ids=SOURCES)
def test_a_draw_is_noticed(fn: Callable[[Tensor], Tensor], batch_dim: Any) -> None:
    before = states()
    with pytest.raises(RandomnessError, match="draws random numbers"):
        jacengine.auto(fn, X, batch_dim=batch_dim)
    assert states() == before


@pytest.mark.parametrize("fn", SOURCES.values(), ids=SOURCES)
def test_the_draw_that_a_call_would_make(fn: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(1)
    before = states()
    J = jacengine.auto(fn, X, randomness="same")
    assert states() == before
    y = fn(X)
    assert torch.allclose(J.reshape(15, 15) @ X.flatten(), y.flatten())


class Hidden:
    """A generator where no walk over references looks."""

    __slots__ = ("generator",)

    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)

    def __call__(self, x: Tensor) -> Tensor:
        return x * noise(self.generator.random(3))


@pytest.mark.parametrize("strategy", ["auto", "reverse_loop"])
def test_a_draw_that_is_not_seen(strategy: str) -> None:
    with pytest.raises(RandomnessError, match="called on the same arguments again"):
        jacengine.jacobian(Hidden(), X, strategy=strategy)


class Sampling(nn.Module):
    """An autoencoder with noise from a generator that is seeded inside."""

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(7)
        result: Tensor = self.net(x) * torch.rand(3, generator=generator)
        return result


def test_a_generator_that_is_seeded_inside() -> None:
    J = jacengine.auto(Sampling(), X, batch_dim=0)
    assert J.shape == (5, 3, 3)


@contextmanager
def drawing() -> Generator[list[tuple[float, ...]]]:
    """Draw random numbers in another thread meanwhile."""
    drawn: list[tuple[float, ...]] = []
    stop = threading.Event()

    def draw() -> None:
        while not stop.is_set():
            drawn.append(tuple(torch.rand(4).tolist()))

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        yield drawn
    finally:
        stop.set()
        thread.join()


def test_draws_of_other_threads_are_neither_repeated_nor_errors() -> None:
    model = mlp(3, 8, 4)
    plans = [
        jacengine.plan(model, X, batch_dim=0),
        jacengine.plan(lambda x: model(x) * 1, X, strategies=["reverse_loop"]),
        jacengine.plan(model, X, wrt="params", batch_dim=0),
    ]
    with drawing() as drawn:
        for _ in range(50):
            for plan in plans:
                plan(X)
            jacengine.jacobian(model, X, batch_dim=0, strategy="vmap_vjp")
        jacengine.auto(lambda x: model(x).sin(), X, batch_dim=0)
    assert len(set(drawn)) == len(drawn)


def test_a_plan_notices_a_draw_beside_other_threads() -> None:
    model = nn.Sequential(mlp(3, 4), nn.Dropout()).eval()
    plan = jacengine.plan(lambda x: 2 * model(x), X)
    model.train()
    with drawing(), pytest.raises((RandomnessError, jacengine.PlanMismatchError)):
        plan(X)


@pytest.mark.parametrize("strategy", ["reverse_loop", "vmap_vjp", "vmap_jvp"])
def test_a_plan_that_draws_now_is_refused(strategy: str) -> None:
    noisy = [False]

    def function(x: Tensor) -> Tensor:
        return x * torch.rand(3).to(x) if noisy[0] else 2 * x

    plan = jacengine.plan(function, X, batch_dim=0, strategies=[strategy])
    plan(X)
    noisy[0] = True
    before = torch.get_rng_state()
    with pytest.raises(RandomnessError, match="draws random numbers now"):
        plan(X)
    assert torch.equal(before, torch.get_rng_state())
