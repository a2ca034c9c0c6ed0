"""Layers that are maps of a state to itself: flows, fixed points, vector fields."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from jacengine.bench.optional_libraries import load
from jacengine.bench.workload import DerivativeSpec, Workload, scale
from jacengine.bench.workloads.models import mlp, mlp_in_jax


class _ResidualFlow(nn.Module):
    """The flow layer `x + g(x)` with a perceptron of one hidden layer as g."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.g = mlp(dimension, 2 * dimension, dimension)

    def forward(self, x: Tensor) -> Tensor:
        shift: Tensor = self.g(x)
        return x + shift


class _Equilibrium(nn.Module):
    """The fixed point of `z = tanh(W z + U x + b)`, by fixed-point iteration."""

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


def _equilibrium_in_jax(_: DerivativeSpec, params: dict[str, Any], x: Any) -> Any:
    jnp = load("jax.numpy")
    injected = params["input.weight"] @ x

    def step(z: Any, _: None) -> tuple[Any, None]:
        inner = params["state.weight"] @ z + params["state.bias"] + injected
        return jnp.tanh(inner), None

    steps = _Equilibrium.steps
    return load("jax.lax").scan(step, jnp.zeros_like(x), length=steps)[0]


DYNAMICS: tuple[Workload, ...] = (
    Workload(
        name="residual_flow",
        origin="Residual flow x + g(x) on 64 samples; J. Behrmann et al., Invertible "
        "residual networks, 2019, https://arxiv.org/abs/1811.00995",
        use="A normalizing flow's likelihood takes the log-determinant of each layer's "
        "Jacobian.",
        **scale("dimension", 8, 64, 256, tiny=3),
        build=lambda d: DerivativeSpec(_ResidualFlow(d), (torch.randn(64, d),)),
        jax_function=lambda spec, params, x: x + mlp_in_jax(spec, params, x, "g."),
    ),
    Workload(
        name="deep_equilibrium",
        origin="Fixed point of tanh(W z + U x + b) in 50 steps, 32 samples; S. Bai, J. "
        "Z. Kolter, V. Koltun, Deep equilibrium models, 2019, "
        "https://arxiv.org/abs/1909.01377",
        use="How the equilibrium follows its input: for stability and regularisation, "
        "through all the steps of the solver.",
        **scale("units", 8, 32, 128, tiny=2),
        build=lambda n: DerivativeSpec(_Equilibrium(n), (torch.randn(32, n),)),
        jax_function=_equilibrium_in_jax,
    ),
    Workload(
        name="neural_ode",
        origin="MLP d-64-64-d as a vector field, 64 states; R. T. Q. Chen et al., "
        "Neural ordinary differential equations, 2018, "
        "https://arxiv.org/abs/1806.07366",
        use="Implicit solvers take the right-hand side's Jacobian in every step, and "
        "continuous flows its trace.",
        **scale("state size d", 8, 64, 256, tiny=3),
        build=lambda d: DerivativeSpec(mlp(d, 64, 64, d), (torch.randn(64, d),)),
        jax_function=mlp_in_jax,
    ),
)
