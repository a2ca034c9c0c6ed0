"""Potential energies of atoms."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from jacengine.bench.optional_libraries import load
from jacengine.bench.workload import DerivativeSpec, JaxFunction, Workload, seeded
from jacengine.bench.workloads.jax_functions import array, in_jax
from jacengine.bench.workloads.perceptrons import jax_mlp, mlp

_SPACING = 1.5
_WIDTH = 2.0
"""Exponent of the radial basis functions `exp(-2 (r - centre)^2)`."""


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


def _molecule_in_jax(spec: DerivativeSpec) -> JaxFunction:
    jax, jnp = load("jax"), load("jax.numpy")

    potential = cast("_Potential", spec.fn)
    others = potential.get_buffer("others").cpu().numpy()
    centres = array(potential.get_buffer("centres"))
    apply = jax.vmap(jax_mlp(len(potential.energy), "energy."), in_axes=(None, 0))

    def energy(params: dict[str, Any], positions: Any) -> Any:
        displacements = positions[others] - positions[:, None]
        distances = jnp.linalg.norm(displacements, axis=-1)
        radial = jnp.exp(-_WIDTH * (distances[..., None] - centres) ** 2).sum(-2)
        morse = (1 - jnp.exp(_SPACING - distances)) ** 2
        return apply(params, radial).sum() + morse.sum() / 2

    return in_jax(spec, energy, potential)


MOLECULES: tuple[Workload, ...] = (
    Workload(
        name="normal_modes",
        origin="Morse potentials and MLP 16-32-32-1 of radial bells; P. M. Morse, "
        "1929; J. Behler, M. Parrinello, 2007; as the Hessians of MACE and AIMNet2",
        use="The Hessian of the energy by all coordinates gives vibrations, free "
        "energies and transition states.",
        parameter="atoms",
        sizes=(6, 16, 48),
        tiny=3,
        build=seeded(_molecule),
        jax_function=_molecule_in_jax,
    ),
)
