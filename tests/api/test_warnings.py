"""What users are told that they cannot see in a result, and nothing else."""

import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine.plans import planning
from tests.problems import mlp, randn

UNREACHED = "no output of the function depends on what is differentiated"
CALLS: dict[str, Callable[..., Any]] = {
    "auto": jacengine.auto,
    "plan": jacengine.plan,
    "by name": lambda *args, **options: jacengine.jacobian(
        *args, strategy="reverse_loop", **options
    ),
    "operator": jacengine.operator,
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x.detach() * 2,
        lambda _: torch.ones(2).double(),
        torch.no_grad()(torch.sin),
        lambda x: (x.detach(), x.detach().cos()),
    ],
    ids=["detached", "constant", "no_grad", "two outputs"],
)
def test_an_output_that_depends_on_no_input(
    call: str, fn: Callable[[Tensor], Any]
) -> None:
    with pytest.warns(UserWarning, match=UNREACHED):
        CALLS[call](fn, randn(3))


def test_it_is_said_once() -> None:
    def fn(x: Tensor) -> Tensor:
        return x.detach() * 2.125

    with pytest.warns(UserWarning, match=UNREACHED):
        J = jacengine.auto(fn, randn(3))
    assert not J.any()
    jacengine.auto(fn, randn(3))


class OneUsed(nn.Module):
    """Uses one of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(3, 40), nn.Linear(3, 40)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.used(x)
        return y


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("fn", "args", "wrt"),
    [
        (lambda x: x * 0, (randn(3),), 0),
        (lambda x: torch.relu(-1 - x.square()), (randn(3),), 0),
        (lambda x, y: x * y.detach(), (randn(3), randn(3)), (0, 1)),
        (lambda x: (x.detach(), x * 0), (randn(3),), 0),
        (lambda x: x.round(), (randn(3),), 0),
        (OneUsed(), (randn(4, 3),), "params"),
    ],
    ids=["zero", "saturated", "one input", "one output", "steps", "one layer"],
)
def test_a_zero_derivative_is_no_cause(
    call: str, fn: Callable[..., Any], args: tuple[Tensor, ...], wrt: Any
) -> None:
    CALLS[call](fn, *args, wrt=wrt)


def test_of_blocks_of_parameters() -> None:
    pieces = jacengine.blocks(
        OneUsed(), randn(4, 3), wrt="params", by="parameters", memory_budget="500KiB"
    )
    assert len(list(pieces)) > 1


def test_hessian_of_a_linear_function() -> None:
    jacengine.hessian(lambda x: (2 * x).sum(), randn(3))


def test_a_doubt_is_told_by_a_choice_from_disk_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JACENGINE_CACHE_DIR", str(tmp_path))

    def fn(x: Tensor) -> Tensor:
        return x.detach() * x.sin() * 1.5

    with pytest.warns(UserWarning, match="finite differences differ"):
        jacengine.plan(fn, randn(3), effort="thorough")
    planning._SELECTIONS.clear()
    with pytest.warns(UserWarning, match="finite differences differ"):
        plan = jacengine.plan(fn, randn(3), effort="thorough")
    assert plan.selection.source == "cache"
    plan.save(tmp_path / "plan.json")
    with pytest.warns(UserWarning, match="finite differences differ"):
        jacengine.load_plan(tmp_path / "plan.json", fn, randn(3))


def slow(x: Tensor) -> Tensor:
    """Return what torch has no batching rule for."""
    return nn.functional.scaled_dot_product_attention(x, x, x)


@pytest.mark.parametrize("strategy", ["batched_grad", "vmap_vjp"])
def test_slow_batching_rules_of_torch_are_not_warned_of(strategy: str) -> None:
    x = randn(3, 4, 8)
    plan = jacengine.plan(slow, x, batch_dim=0, strategies=[strategy], compiled=False)
    for _ in range(2):
        plan(x)
    jacengine.jacobian(slow, x, batch_dim=0, strategy=strategy)


def test_those_of_the_user_are() -> None:
    seen: list[str] = []

    def user() -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            jacengine.auto(mlp(3, 2), randn(3))
            torch.func.vmap(lambda x: torch.histc(x, 4, 0, 1))(torch.rand(2, 5))
        seen.extend(str(warning.message) for warning in caught)

    thread = threading.Thread(target=user)
    thread.start()
    thread.join()
    assert any("performance drop" in message for message in seen)
