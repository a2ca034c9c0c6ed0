"""Potential energies of atoms."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from jacengine.bench.peers import peer
from jacengine.bench.workload import Question, Twin, Workload, seeded
from jacengine.bench.workloads.arrays import array, arrays
from jacengine.bench.workloads.perceptrons import applied, mlp

_SPACING = 1.5
_WIDTH = 2.0
"""Of the bells that distances are described by: `exp(-2 (r - centre)^2)`."""


class _Potential(nn.Module):
    """Morse potentials between all atoms, and a network of each atom's surroundings."""

    def __init__(self, atoms: int) -> None:
        super().__init__()
        every = torch.arange(atoms).expand(atoms, atoms)
        others = every[~torch.eye(atoms, dtype=torch.bool)].reshape(atoms, -1)
        self.register_buffer("others", others)
        self.register_buffer("centres", torch.linspace(0.5, 4, 16))
        self.energy = mlp(16, 32, 32, 1)

    def forward(self, positions: Tensor) -> Tensor:
        ways = positions[self.get_buffer("others")] - positions.unsqueeze(1)
        distances = cast("Tensor", torch.linalg.vector_norm(ways, dim=-1))
        from_centres = distances.unsqueeze(-1) - self.get_buffer("centres")
        bells = (-_WIDTH * from_centres.square()).exp().sum(-2)
        morse = (1 - (_SPACING - distances).exp()).square()
        energy: Tensor = self.energy(bells).sum() + morse.sum() / 2
        return energy


def _molecule(atoms: int) -> Question:
    steps = torch.arange(4)
    grid = torch.cartesian_prod(steps, steps, steps)[:atoms]
    positions = _SPACING * grid + 0.1 * torch.randn(atoms, 3)
    return Question(_Potential(atoms), (positions,), batch_dim=None, quantity="hessian")


def _molecule_twin(question: Question) -> Twin:
    jax, jnp = peer("jax"), peer("jax.numpy")

    potential = cast("_Potential", question.fn)
    others = potential.get_buffer("others").cpu().numpy()
    centres = array(potential.get_buffer("centres"))
    apply = jax.vmap(applied(len(potential.energy)), in_axes=(None, 0))

    def energy(positions: Any, params: dict[str, Any]) -> Any:
        ways = positions[others] - positions[:, None]
        distances = jnp.linalg.norm(ways, axis=-1)
        bells = jnp.exp(-_WIDTH * (distances[..., None] - centres) ** 2).sum(-2)
        morse = (1 - jnp.exp(_SPACING - distances)) ** 2
        return apply(params, bells).sum() + morse.sum() / 2

    params = arrays(potential.energy)
    return Twin(energy, array(question.args[0]), (params,), (None, None))


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
        twin=_molecule_twin,
    ),
)
"""Potential energies of atoms."""
