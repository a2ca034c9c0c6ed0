"""Right-hand sides and residuals of differential equations."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import jvp

from jacengine.bench.optional_libraries import load
from jacengine.bench.workload import DerivativeSpec, Workload, scale
from jacengine.bench.workloads.models import mlp, mlp_in_jax


def kinetics(y: Any, xp: Any = torch) -> Any:
    """Return the rates of Robertson's three species, of tensors or JAX arrays."""
    slow, fast, back = 0.04, 3e7, 1e4
    a, b, c = y[..., 0], y[..., 1], y[..., 2]
    b_rate = slow * a - back * b * c - fast * b**2
    return xp.stack([back * b * c - slow * a, b_rate, fast * b**2], -1)


def _kinetics(cells: int) -> DerivativeSpec:
    scale = torch.tensor([1.0, 1e-4, 1.0], dtype=torch.float64)
    y = torch.rand(cells, 3, dtype=torch.float64) * scale
    return DerivativeSpec(kinetics, (y,))


_FEED, _RELEASE, _DIFFUSION = 1.0, 3.4, 0.1


def brusselator(fields: Any, xp: Any = torch) -> Any:
    """Return the rates of two fields on a periodic square, `(2, side, side)`."""
    u, v = fields[0], fields[1]

    def laplacian(w: Any) -> Any:
        around = xp.roll(w, 1, 0) + xp.roll(w, -1, 0)
        around = around + xp.roll(w, 1, 1) + xp.roll(w, -1, 1)
        return _DIFFUSION * w.shape[0] ** 2 * (around - 4 * w)

    made = u**2 * v
    u_rate = _FEED + made - (_RELEASE + 1) * u + laplacian(u)
    v_rate = _RELEASE * u - made + laplacian(v)
    return xp.stack([u_rate, v_rate])


def _brusselator(side: int) -> DerivativeSpec:
    fields = torch.rand(2, side, side, dtype=torch.float64)
    return DerivativeSpec(brusselator, (fields,), batch_dim=None)


_VISCOSITY = 0.01 / torch.pi


def _residual(solution: Any, point: Any, time: Any, jvp: Any) -> Any:
    """Return the residual of Burgers' equation, of tensors or JAX arrays.

    The solution is u(t, x); `time` is the direction of t.
    """
    space = 1 - time

    def slope(point: Any) -> Any:
        return jvp(solution, (point,), (space,))

    u_t = jvp(solution, (point,), (time,))[1]
    (u, u_x), (_, u_xx) = jvp(slope, (point,), (space,))
    return u_t + u * u_x - _VISCOSITY * u_xx


class _Burgers(nn.Module):
    """The residual of Burgers' equation for a network u(t, x)."""

    def __init__(self) -> None:
        super().__init__()
        self.u = mlp(2, 32, 32, 1)

    def forward(self, points: Tensor) -> Tensor:
        time = torch.zeros_like(points)
        time[..., 0] = 1
        return cast("Tensor", _residual(self.u, points, time, jvp))


def _pinn(points: int) -> DerivativeSpec:
    where = torch.rand(points, 2) * torch.tensor([1.0, 2.0]) - torch.tensor([0.0, 1.0])
    return DerivativeSpec(_Burgers(), (where,), wrt="params")


def _pinn_in_jax(spec: DerivativeSpec, params: dict[str, Any], point: Any) -> Any:
    time = load("jax.numpy").zeros_like(point).at[0].set(1)

    def solution(point: Any) -> Any:
        return mlp_in_jax(spec, params, point, "u.")

    return _residual(solution, point, time, load("jax").jvp)


PHYSICS: tuple[Workload, ...] = (
    Workload(
        name="robertson",
        origin="Three reactions with rates from 0.04 to 3e7; H. H. Robertson, 1966; "
        "E. Hairer, G. Wanner, Solving ordinary differential equations II, 1996",
        use="A combustion or reservoir code solves stiff kinetics in every cell, and "
        "takes this Jacobian in every Newton step.",
        **scale("cells", 100, 10_000, 100_000, tiny=3),
        build=_kinetics,
        jax_function=lambda _, y: kinetics(y, load("jax.numpy")),
    ),
    Workload(
        name="reaction_diffusion",
        origin="Brusselator on a periodic square, five-point stencil; E. Hairer, G. "
        "Wanner, 1996; https://docs.sciml.ai/DiffEqDocs/stable/tutorials/advanced_ode_example",
        use="Implicit time stepping: most of this Jacobian is zero.",
        **scale("grid points a side", 8, 20, 40, tiny=3),
        build=_brusselator,
        jax_function=lambda _, fields: brusselator(fields, load("jax.numpy")),
    ),
    Workload(
        name="pinn",
        origin="MLP 2-32-32-1 as solution of Burgers' equation; M. Raissi, P. "
        "Perdikaris, G. Karniadakis, 2019; J. Mueller, M. Zeinhofer, 2023, "
        "https://arxiv.org/abs/2302.13163",
        use="Natural-gradient and Gauss-Newton training of physics-informed networks: "
        "the equation's residuals by the weights.",
        **scale("collocation points", 100, 500, 2000, tiny=2),
        build=_pinn,
        jax_function=_pinn_in_jax,
    ),
)
