"""Dynamics, kinematics and physics-informed networks."""

from typing import cast

import torch
from torch import Tensor, nn

from tests.contract.build_problem import function, module
from tests.contract.scenario import Case, Scenario

_STIFFNESS, _DAMPING = 9.81 / 0.7, 0.3
_LENGTHS = torch.tensor([1.0, 0.7, 0.4], dtype=torch.float64)


class _Field(nn.Module):
    """A field u(t, x), and the part of a residual that has no derivative of it."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1))

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        u: Tensor = self.net(torch.cat([t, x], dim=-1))
        return torch.cat([u, u**3 - t.sin() * u, x * u], dim=-1)


def _pendulum(state: Tensor) -> Tensor:
    angle, speed = state.unbind(-1)
    push = -_STIFFNESS * angle.sin() - _DAMPING * speed
    return torch.stack([speed, push], dim=-1)


def _pendulum_jacobian(case: Case) -> Tensor:
    angle = cast("Tensor", case.args[0])[..., 0]
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    first = torch.stack([zero, one], dim=-1)
    second = torch.stack([-_STIFFNESS * angle.cos(), -_DAMPING * one], dim=-1)
    return torch.stack([first, second], dim=-2)


def _arm(angles: Tensor) -> Tensor:
    """Return where a planar arm ends, given the angles of its joints."""
    heading = angles.cumsum(-1)
    return torch.stack([heading.cos() @ _LENGTHS, heading.sin() @ _LENGTHS], dim=-1)


def _arm_jacobian(case: Case) -> Tensor:
    """Sum over the links that a joint moves: all from its own on."""
    heading = cast("Tensor", case.args[0]).cumsum(-1)
    moved = torch.ones(3, 3, dtype=torch.float64).tril() * _LENGTHS[:, None]
    return torch.stack([-heading.sin() @ moved, heading.cos() @ moved], dim=-2)


def _rollout(state: Tensor, torque: Tensor) -> Tensor:
    """Return the states of a pendulum after each of a few Euler steps."""
    states: list[Tensor] = []
    for step in range(torque.shape[-1]):
        push = torch.stack([torch.zeros_like(torque[..., step]), torque[..., step]], -1)
        state = state + 0.1 * (_pendulum(state) + push)
        states.append(state)
    return torch.stack(states, dim=-2)


SCENARIOS: tuple[Scenario, ...] = (
    function("pendulum", _pendulum, (2,), reference=_pendulum_jacobian),
    function(
        "pendulum_batched", _pendulum, (3, 2), reference=_pendulum_jacobian, batch_dim=0
    ),
    function(
        "pendulum_rollout",
        *(_rollout, (2, 2), (2, 3)),
        wrt="inputs",
        batch_dim=0,
    ),
    function("arm", _arm, (3,), reference=_arm_jacobian),
    function("arm_batched", _arm, (4, 3), reference=_arm_jacobian, batch_dim=0),
    module("pinn_inputs", _Field, (4, 1), (4, 1), wrt="inputs", batch_dim=0),
    module("pinn_space", _Field, (4, 1), (4, 1), wrt=1, batch_dim=0),
    module("pinn_params", _Field, (4, 1), (4, 1), wrt="params", batch_dim=0),
)
