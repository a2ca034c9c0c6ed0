"""What is small because its terms cancel is right, and what is wrong is still found."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine import UnsupportedError
from tests.broken_strategies import Forward, Reverse, spoiling
from tests.problems import OF_INPUTS, OF_PARAMETERS, mlp, randn


def least_squares(
    dtype: torch.dtype, distance: float
) -> tuple[Callable[[Tensor], Tensor], Tensor, Tensor]:
    """Make a loss, a point near its optimum, and its gradient in double precision."""
    A, b = randn(2000, 20).to(dtype), (3 * randn(2000, seed=1)).to(dtype)
    best = torch.linalg.lstsq(A.double(), b.double().unsqueeze(1)).solution[:, 0]
    x = (best + distance * randn(20, seed=2)).to(dtype)
    gradient = A.double().T @ (A.double() @ x.double() - b.double()) / 1000
    return lambda x: (A @ x - b).square().mean(), x, gradient


@pytest.mark.parametrize("strategy", OF_INPUTS)
@pytest.mark.parametrize("distance", [1e-3, 0.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_near_an_optimum(
    dtype: torch.dtype, distance: float, strategy: str
) -> None:
    loss, x, wanted = least_squares(dtype, distance)
    found = jacengine.jacobian(loss, x, strategy=strategy)
    assert (found - wanted).abs().max() <= 20 * torch.finfo(dtype).eps


@pytest.mark.parametrize("kind", [Forward, Reverse])
@pytest.mark.parametrize(
    ("dtype", "distance", "factor"),
    [(torch.float64, 1e-6, 1 + 1e-6), (torch.float32, 1e-2, 1 + 1e-3)],
)
def test_wrong_gradient_near_an_optimum(
    dtype: torch.dtype, distance: float, factor: float, kind: Any
) -> None:
    loss, x, _ = least_squares(dtype, distance)
    faulty = kind(spoiling(lambda p: p * factor))
    with pytest.raises(UnsupportedError, match="plain autograd"):
        jacengine.jacobian(loss, x, strategy=faulty)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_doubt_near_an_optimum(dtype: torch.dtype) -> None:
    loss, x, _ = least_squares(dtype, 1e-8)
    assert jacengine.plan(loss, x, effort="thorough").selection.doubt is None


@pytest.mark.parametrize("strategy", OF_INPUTS)
def test_sum_of_a_softmax(strategy: str) -> None:
    x = randn(4, 50).float()
    found = jacengine.jacobian(
        lambda x: x.softmax(-1).sum(-1), x, batch_dim=0, strategy=strategy
    )
    assert found.abs().max() < 1e-6


@pytest.mark.parametrize("strategy", OF_INPUTS)
def test_saturated_softmax(strategy: str) -> None:
    x = torch.tensor([[40.0, 0.0, 3.0], [-2.0, 35.0, 1.0]], dtype=torch.float64)
    weights = 10 * randn(3, 4)
    found = jacengine.jacobian(
        lambda x: x.softmax(-1) @ weights, x, batch_dim=0, strategy=strategy
    )
    assert 0 < found.abs().max() < 1e-12


@pytest.mark.parametrize("strategy", OF_INPUTS)
def test_saturated_attention(strategy: str) -> None:
    # One fused kernel, of which only the result is seen; and its mask is infinite.
    q, k, v = (8 * randn(4, n, 8, seed=n) for n in (3, 6, 7))
    v = v[:, :6]
    mask = torch.full((3, 6), -torch.inf, dtype=q.dtype).triu(1)
    found = jacengine.jacobian(
        lambda q: nn.functional.scaled_dot_product_attention(q, k, v, mask),
        q,
        strategy=strategy,
    )
    p = (q @ k.mT / 8**0.5 + mask).softmax(-1)
    moved = (p[..., None] * k[:, None]).sum(2)  # the mean of the keys, (4, 3, 8)
    spread = k[:, None] - moved[:, :, None]
    wanted = torch.einsum("bij,bjo,bijd->biod", p, v, spread) / 8**0.5
    got = torch.stack([found[b, i, :, b, i] for b in range(4) for i in range(3)])
    torch.testing.assert_close(got.reshape(4, 3, 8, 8), wanted, rtol=0, atol=1e-9)


def test_inaccurate_formula() -> None:
    # The JVP of torch's logcumsumexp: at large values it is off by 1e-6, which is not
    # rounding. See what rounds differently in a backward pass that takes logarithms of
    # zeros, too.
    x = torch.tensor([1e4, 9.99e3, 1.0, 2.0, 9.995e3], dtype=torch.float64)
    x = x.repeat(4, 1) + randn(4, 5)
    weights = randn(5).abs() + 0.5

    def fn(x: Tensor) -> Tensor:
        return (x.logcumsumexp(1) * weights).sum(1)

    terms = [x.narrow(1, 0, i + 1).softmax(1) for i in range(5)]
    p = torch.stack([nn.functional.pad(t, (0, 5 - t.shape[1])) for t in terms], 1)
    weighted = p * weights[:, None]
    wanted = weighted.sum(1).diag_embed() - p.mT @ weighted
    found = jacengine.hessian(fn, x, batch_dim=0)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("strategy", OF_PARAMETERS)
def test_parameters_under_autocast(strategy: str) -> None:
    model, x = mlp(16, 32, 8).float(), randn(12, 16).float()

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu"):
                out: Tensor = self.model(x)
            return out.float()

    options: dict[str, Any] = {"wrt": "params", "batch_dim": 0, "layout": "flat"}
    exact = jacengine.auto(model, x, **options)
    found = jacengine.jacobian(Mixed(), x, strategy=strategy, **options)
    assert (found - exact).abs().max() < 0.05 * exact.abs().max()


def harmonic(x: Tensor) -> Tensor:
    """Map each pair to the real part of `exp(3 z)`, whose Laplacian is zero."""
    return (3 * x[..., 0]).exp() * (3 * x[..., 1]).cos()


@pytest.mark.parametrize("strategy", jacengine.list_strategies("laplacian"))
def test_laplacian_of_a_harmonic_function(strategy: str) -> None:
    x = randn(5, 2).float()
    found = jacengine.laplacian(harmonic, x, strategies=[strategy], effort="none")
    assert found.abs().max() < 1e-5 * 9 * harmonic(x).abs().max()
