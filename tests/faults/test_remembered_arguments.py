"""A plain argument of another value may switch a branch: the call is planned anew."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import jacengine
from tests.problems import randn

CALLS: dict[str, Callable[..., Any]] = {
    "auto": jacengine.auto,
    "by name": lambda *args, **how: jacengine.jacobian(
        *args, strategy="vmap_vjp", **how
    ),
    "operator": jacengine.operator,
}


def _centred(x: Tensor, centre: Any) -> Tensor:
    return x - x.mean(0) if centre else 2 * x


@pytest.mark.parametrize("values", [(False, True), (0, 1), ("", "a")])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_plain_argument_that_couples_samples(
    call: Callable[..., Any], values: tuple[Any, Any]
) -> None:
    x = randn(3, 2)
    call(_centred, x, values[0], batch_dim=(0, None))
    with pytest.raises(jacengine.CoupledSamplesError):
        call(_centred, x, values[1], batch_dim=(0, None))
    assert torch.equal(
        jacengine.auto(_centred, x, values[0], batch_dim=(0, None)),
        2 * torch.eye(2, dtype=x.dtype).expand(3, 2, 2),
    )
