"""Second derivatives of networks and of potential energies, by their inputs."""

from __future__ import annotations

import functools
from typing import Any, cast

import torch
from torch import Tensor, nn

from jacengine.bench.optional_libraries import load
from jacengine.bench.workload import DerivativeSpec, Workload, scale
from jacengine.bench.workloads.models import mlp, mlp_in_jax

_SPACING = 1.5
_WIDTH = 2.0
"""Exponent of the radial basis functions `exp(-2 (r - centre)^2)`."""


class _Sine(nn.Module):
    """The sine of every entry."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sin()


def _solution(dimension: int) -> DerivativeSpec:
    net = mlp(dimension, 64, 64, 64, 1, activation=_Sine)
    points = torch.rand(min(128 * dimension, 1024), dimension)
    return DerivativeSpec(net, (points,), quantity="laplacian")


def _score(dimension: int) -> DerivativeSpec:
    net = nn.Sequential(mlp(dimension, 64, 64, 1), nn.Flatten(0))
    return DerivativeSpec(net, (torch.randn(64, dimension),), quantity="hessian")


class _Potential(nn.Module):
    """Morse potentials, and a network of the radial basis functions of each atom."""

    def __init__(self, atoms: int) -> None:
        super().__init__()
        every = torch.arange(atoms).expand(atoms, atoms)
        others = every[~torch.eye(atoms, dtype=torch.bool)].reshape(atoms, -1)
        self.register_buffer("others", others)
        self.register_buffer("centres", torch.linspace(0.5, 4, 16))
        self.energy = mlp(16, 32, 32, 1)

    def forward(self, positions: Tensor) -> Tensor:
        displacements = positions[self.get_buffer("others")] - positions.unsqueeze(1)
        distances = cast("Tensor", torch.linalg.vector_norm(displacements, dim=-1))
        from_centres = distances.unsqueeze(-1) - self.get_buffer("centres")
        radial = (-_WIDTH * from_centres.square()).exp().sum(-2)
        morse = (1 - (_SPACING - distances).exp()).square()
        energy: Tensor = self.energy(radial).sum() + morse.sum() / 2
        return energy


def _molecule(atoms: int) -> DerivativeSpec:
    steps = torch.arange(4)
    grid = torch.cartesian_prod(steps, steps, steps)[:atoms]
    positions = _SPACING * grid + 0.1 * torch.randn(atoms, 3)
    return DerivativeSpec(
        _Potential(atoms), (positions,), batch_dim=None, quantity="hessian"
    )


def _molecule_in_jax(
    spec: DerivativeSpec, params: dict[str, Any], positions: Any
) -> Any:
    jax, jnp = load("jax"), load("jax.numpy")
    buffers = cast("nn.Module", spec.fn).named_buffers()
    constants = {name: buffer.cpu().numpy() for name, buffer in buffers}
    displacements = positions[constants["others"]] - positions[:, None]
    distances = jnp.linalg.norm(displacements, axis=-1)
    from_centres = distances[..., None] - constants["centres"]
    radial = jnp.exp(-_WIDTH * from_centres**2).sum(-2)
    morse = (1 - jnp.exp(_SPACING - distances)) ** 2
    energy = jax.vmap(lambda row: mlp_in_jax(spec, params, row, "energy."))
    return energy(radial).sum() + morse.sum() / 2


SECOND_ORDER: tuple[Workload, ...] = (
    Workload(
        name="mlp_laplacian",
        origin="MLP d-128-128-1 with tanh on 64 samples; F. Dangel, T. Siebert, M. "
        "Zeinhofer, A. Walther, Collapsing Taylor mode automatic differentiation, "
        "2025, https://arxiv.org/abs/2505.13644",
        use="The Laplacian of a network that solves a partial differential equation or "
        "is a wave function, in every step of its training.",
        **scale("dimension d", 8, 32, 128, tiny=3),
        build=lambda d: DerivativeSpec(
            mlp(d, 128, 128, 1), (torch.randn(64, d),), quantity="laplacian"
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
        **scale("dimension d", 2, 10, 100, tiny=2),
        build=_solution,
        jax_function=functools.partial(mlp_in_jax, activation="sin"),
    ),
    Workload(
        name="mlp_hessian",
        origin="MLP n-64-64-1 on 64 samples; S.-M. Moosavi-Dezfooli et al., Robustness "
        "via curvature regularization, and vice versa, 2019, "
        "https://arxiv.org/abs/1811.09716",
        use="Newton's method from many starting points on a surrogate model, and the "
        "curvature of a score around each sample.",
        **scale("inputs n", 8, 32, 128, tiny=3),
        build=_score,
        jax_function=lambda spec, params, x: mlp_in_jax(spec, params, x, "0.")[0],
    ),
)

MOLECULES: tuple[Workload, ...] = (
    Workload(
        name="normal_modes",
        origin="Morse potentials and MLP 16-32-32-1 of radial bells; P. M. Morse, "
        "1929; J. Behler, M. Parrinello, 2007; as the Hessians of MACE and AIMNet2",
        use="The Hessian of the energy by all coordinates gives vibrations, free "
        "energies and transition states.",
        **scale("atoms", 6, 16, 48, tiny=3),
        build=_molecule,
        jax_function=_molecule_in_jax,
    ),
)
