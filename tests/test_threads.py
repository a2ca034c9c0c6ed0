"""Calls from several threads are right: forward mode in torch 2.13 alone is not."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

import jacengine


@pytest.mark.parametrize("strategy", ["vmap_jvp", "forward_dual", "batched_grad"])
def test_one_plan_in_four_threads(strategy: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    xs = [torch.randn(4, 3, dtype=torch.float64) for _ in range(40)]
    plan = jacengine.plan(model, xs[0], batch_dim=0, strategies=[strategy])
    wanted = [
        jacengine.jacobian(model, x, batch_dim=0, strategy="reverse_loop") for x in xs
    ]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(plan, xs * 5))
    for J, right in zip(found, wanted * 5, strict=True):
        torch.testing.assert_close(J, right)


def test_auto_in_four_threads() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2).double()
    x = torch.randn(4, 3, dtype=torch.float64)

    def once(_: int) -> torch.Tensor:
        J: torch.Tensor = jacengine.auto(model, x, batch_dim=0, effort="none")
        return J

    with ThreadPoolExecutor(4) as pool:
        for J in pool.map(once, range(12)):
            torch.testing.assert_close(J[0], model.weight.detach())
