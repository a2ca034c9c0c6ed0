"""Layers that are maps of a state to itself: flows, fixed points, vector fields."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from jacengine.bench.peers import peer
from jacengine.bench.workload import Question, Twin, Workload, seeded
from jacengine.bench.workloads.arrays import array, arrays
from jacengine.bench.workloads.perceptrons import applied, mlp, mlp_twin


class _ResidualFlow(nn.Module):
    """The flow layer `x + g(x)` with a perceptron of one hidden layer as g."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.g = mlp(dimension, 2 * dimension, dimension)

    def forward(self, x: Tensor) -> Tensor:
        shift: Tensor = self.g(x)
        return x + shift


def _flow(dimension: int) -> Question:
    return Question(_ResidualFlow(dimension), (torch.randn(64, dimension),))


def _flow_jacobian(question: Question) -> Tensor:
    """Return `I + W2 diag(1 - tanh(W1 x + b1)^2) W1`."""
    params = dict(cast("nn.Module", question.fn).named_parameters())
    x: Tensor = question.args[0]
    with torch.no_grad():
        inner = x @ params["g.0.weight"].T + params["g.0.bias"]
        slope = 1 - inner.tanh() ** 2
        weights = params["g.2.weight"] * slope.unsqueeze(1)
        identity = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        return identity + weights @ params["g.0.weight"]


def _flow_twin(question: Question) -> Twin:
    named = arrays(cast("nn.Module", question.fn))
    params = {name.removeprefix("g."): value for name, value in named.items()}
    g = applied(3)
    x = array(question.args[0])
    return Twin(lambda x, params: x + g(params, x), x, (params,), (0, None))


class _Equilibrium(nn.Module):
    """The fixed point of `z = tanh(W z + U x + b)`, by as many steps as it takes."""

    steps = 50

    def __init__(self, units: int) -> None:
        super().__init__()
        self.state = nn.Linear(units, units)
        self.input = nn.Linear(units, units, bias=False)
        with torch.no_grad():
            # A contraction, so that the steps converge to rounding error.
            norm = cast("Tensor", torch.linalg.matrix_norm(self.state.weight, 2))
            self.state.weight.mul_(0.4 / norm)

    def forward(self, x: Tensor) -> Tensor:
        injected = self.input(x)
        z = torch.zeros_like(x)
        for _ in range(self.steps):
            z = (self.state(z) + injected).tanh()
        return z


def _equilibrium(units: int) -> Question:
    return Question(_Equilibrium(units), (torch.randn(32, units),))


def _equilibrium_jacobian(question: Question) -> Tensor:
    """Return `(I - D W)^-1 D U` with `D = diag(1 - z^2)`: the implicit function."""
    layer = cast("_Equilibrium", question.fn)
    with torch.no_grad():
        z = layer(question.args[0])
        slope = (1 - z**2).unsqueeze(-1)
        identity = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
        follow: Tensor = torch.linalg.solve(
            identity - slope * layer.state.weight, slope * layer.input.weight
        )
        return follow


def _equilibrium_twin(question: Question) -> Twin:
    jax, jnp = peer("jax"), peer("jax.numpy")

    layer = cast("_Equilibrium", question.fn)

    def fixed_point(x: Any, params: dict[str, Any]) -> Any:
        injected = params["input.weight"] @ x

        def step(z: Any, _: None) -> tuple[Any, None]:
            inner = params["state.weight"] @ z + params["state.bias"] + injected
            return jnp.tanh(inner), None

        return jax.lax.scan(step, jnp.zeros_like(x), length=layer.steps)[0]

    x = array(question.args[0])
    return Twin(fixed_point, x, (arrays(layer),), (0, None))


def _vector_field(dimension: int) -> Question:
    return Question(mlp(dimension, 64, 64, dimension), (torch.randn(64, dimension),))


DYNAMICS: tuple[Workload, ...] = (
    Workload(
        name="residual_flow",
        origin="Residual flow x + g(x) on 64 samples; J. Behrmann et al., Invertible "
        "residual networks, 2019, https://arxiv.org/abs/1811.00995",
        use="A normalizing flow's likelihood takes the log-determinant of each layer's "
        "Jacobian.",
        parameter="dimension",
        sizes=(8, 64, 256),
        tiny=3,
        build=seeded(_flow),
        closed_form=_flow_jacobian,
        twin=_flow_twin,
    ),
    Workload(
        name="deep_equilibrium",
        origin="Fixed point of tanh(W z + U x + b) in 50 steps, 32 samples; S. Bai, J. "
        "Z. Kolter, V. Koltun, Deep equilibrium models, 2019, "
        "https://arxiv.org/abs/1909.01377",
        use="How the equilibrium follows its input: for stability and regularisation, "
        "through all the steps of the solver.",
        parameter="units",
        sizes=(8, 32, 128),
        tiny=2,
        build=seeded(_equilibrium),
        closed_form=_equilibrium_jacobian,
        twin=_equilibrium_twin,
    ),
    Workload(
        name="neural_ode",
        origin="MLP d-64-64-d as a vector field, 64 states; R. T. Q. Chen et al., "
        "Neural ordinary differential equations, 2018, "
        "https://arxiv.org/abs/1806.07366",
        use="Implicit solvers take the right-hand side's Jacobian in every step, and "
        "continuous flows its trace.",
        parameter="state size d",
        sizes=(8, 64, 256),
        tiny=3,
        build=seeded(_vector_field),
        twin=mlp_twin,
    ),
)
"""Layers that are maps of a state to itself."""
