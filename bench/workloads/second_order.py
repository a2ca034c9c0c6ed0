"""Second derivatives of networks by their inputs."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from jacengine.bench.workload import DerivativeSpec, JaxFunction, Workload, seeded
from jacengine.bench.workloads.jax_functions import in_jax
from jacengine.bench.workloads.perceptrons import jax_mlp, mlp, mlp_in_jax


class _Sine(nn.Module):
    """The sine of every entry."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sin()


def _solution(dimension: int) -> DerivativeSpec:
    net = mlp(dimension, 64, 64, 64, 1, activation=_Sine)
    points = torch.rand(min(128 * dimension, 1024), dimension)
    return DerivativeSpec(net, (points,), quantity="laplacian")


def _solution_in_jax(spec: DerivativeSpec) -> JaxFunction:
    return mlp_in_jax(spec, activation="sin")


def _score(dimension: int) -> DerivativeSpec:
    net = nn.Sequential(mlp(dimension, 64, 64, 1), nn.Flatten(0))
    return DerivativeSpec(net, (torch.randn(64, dimension),), quantity="hessian")


def _score_in_jax(spec: DerivativeSpec) -> JaxFunction:
    assert isinstance(spec.fn, nn.Sequential)
    network = jax_mlp(len(cast("nn.Sequential", spec.fn[0])), "0.")
    return in_jax(spec, lambda params, x: network(params, x)[0], spec.fn)


SECOND_ORDER: tuple[Workload, ...] = (
    Workload(
        name="mlp_laplacian",
        origin="MLP d-128-128-1 with tanh on 64 samples; F. Dangel, T. Siebert, M. "
        "Zeinhofer, A. Walther, Collapsing Taylor mode automatic differentiation, "
        "2025, https://arxiv.org/abs/2505.13644",
        use="The Laplacian of a network that solves a partial differential equation or "
        "is a wave function, in every step of its training.",
        parameter="dimension d",
        sizes=(8, 32, 128),
        tiny=3,
        build=seeded(
            lambda d: DerivativeSpec(
                mlp(d, 128, 128, 1), (torch.randn(64, d),), quantity="laplacian"
            )
        ),
        jax_function=mlp_in_jax,
    ),
    Workload(
        name="pinn_laplacian",
        origin="MLP d-64-64-64-1 with sines on up to 1024 points; M. Raissi, P. "
        "Perdikaris, G. Karniadakis, 2019; V. Sitzmann et al., Implicit neural "
        "representations with periodic activation functions, 2020, "
        "https://arxiv.org/abs/2006.09661",
        use="The residual of Poisson's equation at every collocation point, in two to "
        "a hundred dimensions.",
        parameter="dimension d",
        sizes=(2, 10, 100),
        tiny=2,
        build=seeded(_solution),
        jax_function=_solution_in_jax,
    ),
    Workload(
        name="mlp_hessian",
        origin="MLP n-64-64-1 on 64 samples; S.-M. Moosavi-Dezfooli et al., Robustness "
        "via curvature regularization, and vice versa, 2019, "
        "https://arxiv.org/abs/1811.09716",
        use="Newton's method from many starting points on a surrogate model, and the "
        "curvature of a score around each sample.",
        parameter="inputs n",
        sizes=(8, 32, 128),
        tiny=3,
        build=seeded(_score),
        jax_function=_score_in_jax,
    ),
)
