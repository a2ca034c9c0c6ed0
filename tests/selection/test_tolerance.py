"""How exact the truth is, for each dtype: errors are found, rounding is not one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine import UnsupportedError
from tests.broken_strategies import Forward, Reverse, scaling_where, spoiling
from tests.problems import OF_INPUTS, randn

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def to_many(count: int, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """Make a function of six inputs and many outputs of similar size."""
    matrix = randn(6, count, seed=3).to(dtype)
    return lambda x: torch.tanh(x @ matrix)


def found(strategy: Any, fn: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    """Tell whether a strategy is found to be wrong."""
    try:
        jacengine.jacobian(fn, x, strategy=strategy)
    except UnsupportedError:
        return True
    return False


@pytest.mark.parametrize("kind", [Reverse, Forward])
@pytest.mark.parametrize(
    ("dtype", "factor"), [(torch.float64, 1 + 1e-6), (torch.float32, 1.02)]
)
def test_one_wrong_among_eight(dtype: torch.dtype, factor: float, kind: Any) -> None:
    fn, x = to_many(8, dtype), randn(6).to(dtype)
    assert found(kind(scaling_where(3, factor)), fn, x)
    assert not found(kind(scaling_where(3, 1.0)), fn, x)


def noise(product: Tensor) -> Tensor:
    return randn(*product.shape, seed=6).to(product.dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "spoil",
    [lambda p: 3 * p, lambda p: p.roll(1, -1), noise],
    ids=["scale", "order", "noise"],
)
def test_everything_wrong(
    spoil: Callable[[Tensor], Tensor], dtype: torch.dtype
) -> None:
    fn, x = to_many(8, dtype), randn(6).to(dtype)
    assert found(Reverse(spoiling(spoil)), fn, x)


@pytest.mark.parametrize(
    ("count", "dtype", "factor"),
    [
        (4096, torch.float64, 1.01),
        (256, torch.float32, 0.0),
        (256, torch.float32, 1.05),
        (4096, torch.float32, 0.0),
        (64, torch.float16, 0.5),
        (8, torch.bfloat16, 0.0),
    ],
)
def test_one_wrong_row_among_many(
    count: int, dtype: torch.dtype, factor: float
) -> None:
    fn, x = to_many(count, dtype), randn(6).to(dtype)
    assert found(Reverse(scaling_where(3, factor)), fn, x)


@pytest.mark.xfail(strict=True, reason="compared with the sum over all rows")
def test_one_wrong_row_that_is_small() -> None:
    matrix = randn(6, 8).float()
    matrix[:, 3] *= 1e-4
    x = randn(6).float()
    assert found(Reverse(scaling_where(3, 0.0)), lambda x: x @ matrix, x)


def network(dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Linear(64, 128), nn.Tanh(), nn.Linear(128, 64))
    return nn.Sequential(*layers).to(dtype)


@pytest.mark.parametrize("strategy", OF_INPUTS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_rounding_is_no_error(dtype: torch.dtype, strategy: str) -> None:
    x = randn(8, 64).to(dtype)
    J = jacengine.jacobian(network(dtype), x, batch_dim=0, strategy=strategy)
    assert J.dtype == dtype


@pytest.mark.parametrize(
    ("outer", "inner"),
    [(torch.float64, torch.float32), (torch.float32, torch.bfloat16)],
)
def test_rounding_inside_is_no_error(outer: torch.dtype, inner: torch.dtype) -> None:
    model, x = network(inner), randn(8, 64).to(outer)
    plan = jacengine.plan(
        lambda x: model(x.to(inner)).to(outer), x, batch_dim=0, effort="none"
    )
    assert plan(x).dtype == outer


def test_rounding_under_autocast_is_no_error() -> None:
    model, x = network(torch.float32), randn(8, 64).float()

    def mixed(x: Tensor) -> Tensor:
        with torch.autocast("cpu"):
            out: Tensor = model(x)
        return out.float()

    assert jacengine.plan(mixed, x, batch_dim=0, effort="none")(x).shape == (8, 64, 64)


def test_rounding_of_one_output_among_rows() -> None:
    x = randn(32)
    plan = jacengine.plan(
        lambda x: (x.sin(), (x.exp() * x.sum()).float()),
        x,
        rows=slice(0, 64, 3),
        effort="none",
    )
    assert plan(x).shape == (22, 32)


@pytest.mark.parametrize("strategy", OF_INPUTS)
def test_autocast_around_the_call(strategy: str) -> None:
    model, x = network(torch.float32), randn(8, 64).float()
    wanted = jacengine.jacobian(model, x, batch_dim=0, strategy="reverse_loop")
    with torch.autocast("cpu"):
        J = jacengine.jacobian(model, x, batch_dim=0, strategy=strategy)
    assert J.dtype == torch.bfloat16
    assert torch.allclose(J.float(), wanted, atol=0.02 * float(wanted.abs().max()))
