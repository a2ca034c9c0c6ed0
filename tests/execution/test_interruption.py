"""Runs that are stopped in the middle leave forward mode as they found it."""

import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._functorch import eager_transforms, vmap
from torch.autograd import forward_ad

import jacengine
from jacengine.sweep.deadline import DeadlineError, deadline


def _ctrl_c() -> None:
    """Raise as Ctrl-C does; the signal itself is ignored in a background job."""
    raise KeyboardInterrupt


def _interrupt(monkeypatch: pytest.MonkeyPatch, stop: Callable[[], object]) -> None:
    """Stop the next exit from a level of forward mode when it is half done."""
    # Where torch looks it up when it leaves a level: in torch._C before torch 2.11.
    home: Any = sys.modules.get("torch._functorch.predispatch")
    if not hasattr(home, "_exit_dual_level"):
        home = torch._C
    leave = home._exit_dual_level

    def stopped(*, level: int) -> None:
        monkeypatch.undo()
        leave(level=level)
        stop()

    monkeypatch.setattr(home, "_exit_dual_level", stopped)


@pytest.mark.parametrize("strategy", ["forward_dual", "vmap_jvp"])
def test_an_interrupted_plan_can_be_called_again(
    strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(3, dtype=torch.float64)
    plan = jacengine.plan(torch.sin, x, strategies=[strategy])
    _interrupt(monkeypatch, _ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        plan(x)
    torch.testing.assert_close(plan(x), torch.diag(x.cos()))


@pytest.mark.parametrize("strategy", ["vmap_jvp", "vmap_vjp"])
@pytest.mark.parametrize(
    "name", ["exit_jvp_nesting", "_vmap_decrement_nesting", "_grad_decrement_nesting"]
)
def test_an_interruption_before_a_level_is_left(
    name: str, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The function itself uses transforms, whatever the strategy."""

    def fn(x: torch.Tensor) -> Any:
        def slope(x: torch.Tensor) -> Any:
            return torch.func.jvp(torch.sin, (x,), (torch.ones_like(x),))[1]

        return torch.func.vmap(torch.func.grad(slope))(x)

    def stopped(*_: object, **__: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    x = torch.randn(3, dtype=torch.float64)
    plan = jacengine.plan(fn, x, strategies=[strategy], effort="none")
    for module in (eager_transforms, vmap):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, stopped)
    with pytest.raises(KeyboardInterrupt):
        plan(x)
    torch.testing.assert_close(plan(x), torch.diag(-x.cos()))


def test_an_error_in_place_of_an_interruption_is_kept() -> None:
    def fn(x: torch.Tensor) -> torch.Tensor:
        try:
            _ctrl_c()
        except KeyboardInterrupt:
            raise ValueError("of the user's") from None
        return x

    x = torch.randn(3, dtype=torch.float64)
    plan = jacengine.plan(torch.sin, x, strategies=["vmap_vjp"], effort="none")
    plan.callee.fn = fn
    with pytest.raises(ValueError, match="of the user's"):
        plan(x)


def test_an_error_while_an_interruption_is_handled() -> None:
    def fn(x: torch.Tensor) -> torch.Tensor:
        raise ValueError("of the user's")

    x = torch.randn(3, dtype=torch.float64)
    plan = jacengine.plan(torch.sin, x, strategies=["vmap_vjp"], effort="none")
    plan.callee.fn = fn
    try:
        _ctrl_c()
    except KeyboardInterrupt:
        with pytest.raises(ValueError, match="of the user's"):
            plan(x)


def test_a_level_of_the_users_stays() -> None:
    def fn(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("of the user's")

    x = torch.randn(3, dtype=torch.float64)
    plan = jacengine.plan(torch.sin, x, strategies=["forward_dual"])
    plan.callee.fn = fn
    with forward_ad.dual_level():
        with pytest.raises(RuntimeError):
            plan(x)
        dual = forward_ad.make_dual(x, torch.ones_like(x))
        assert forward_ad.unpack_dual(dual.sin()).tangent is not None


def _for_ever(x: torch.Tensor) -> None:
    while True:
        torch.func.jvp(torch.sin, (x,), (x,))


# What interrupts a destructor is lost, and pytest reports it; it is raised again later.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_a_deadline_stops_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.ones(3)
    _interrupt(monkeypatch, lambda: signal.raise_signal(signal.SIGALRM))
    with pytest.raises(DeadlineError), deadline(60):
        torch.func.jvp(torch.sin, (x,), (x,))
    with pytest.raises(DeadlineError), deadline(0.05):
        _for_ever(x)
    assert torch.func.jvp(torch.sin, (x,), (x,))[1].shape == (3,)
