"""Finite differences notice what every method gets wrong in the same way."""

import pytest
import torch
from torch import Tensor, nn

import jacengine


def _scaled_by_its_sum(x: Tensor) -> Tensor:
    return x * float(x.sum())


def _through_numpy(x: Tensor) -> Tensor:
    return x + torch.from_numpy(x.detach().numpy() ** 2)


@pytest.mark.parametrize("fn", [_scaled_by_its_sum, _through_numpy])
def test_silently_not_differentiable(fn: object) -> None:
    x = torch.tensor([0.4, 1.3, -0.7], dtype=torch.float64)
    with pytest.warns(UserWarning, match="finite differences differ"):
        found = jacengine.benchmark(fn, x, strategies=["reverse_loop", "batched_grad"])  # type: ignore[arg-type]
    assert found.plan.selection.doubt is not None
    assert "finite differences disagree" in str(found)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_no_doubt_about_what_is_right(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)).to(dtype)
    x = torch.randn(5, 3, dtype=dtype)
    for wrt in (0, "params"):
        found = jacengine.benchmark(
            model, x, wrt=wrt, batch_dim=0, strategies=["reverse_loop", "batched_grad"]
        )
        assert found.plan.selection.doubt is None


def test_no_opinion_in_half_precision() -> None:
    x = torch.tensor([0.4, 1.3], dtype=torch.bfloat16)
    found = jacengine.benchmark(_scaled_by_its_sum, x, strategies=["reverse_loop"])
    assert found.plan.selection.doubt is None
