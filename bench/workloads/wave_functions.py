"""Wave functions, whose Laplacian is their kinetic energy."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from jacengine.bench.optional_libraries import load
from jacengine.bench.workload import DerivativeSpec, Workload, scale
from jacengine.bench.workloads.models import mlp, mlp_in_jax

_BOND = 1.4
_CUSP = 0.5


class Hydrogen(nn.Module):
    """Log of the wave function of a chain of hydrogen atoms, one electron each.

    Every electron occupies the sum of the atoms' 1s states, `exp(-r)`; a Jastrow factor
    `r / (2 + 2 r)` correlates each pair. Lengths are in bohr.
    """

    def __init__(self, atoms: int) -> None:
        super().__init__()
        self.register_buffer("nuclei", _chain(atoms))
        self.register_buffer("pairs", torch.triu_indices(atoms, atoms, 1))

    def distances(self, electrons: Tensor) -> tuple[Tensor, Tensor]:
        """Return distances to nuclei `(B, N, N)` and between electrons `(B, pairs)`."""
        return _norm(_to_nuclei(self, electrons)), _norm(self.between(electrons))

    def between(self, electrons: Tensor) -> Tensor:
        """Return offsets from each electron to every later one, `(B, pairs, 3)`."""
        first, second = self.get_buffer("pairs")
        return electrons[:, second] - electrons[:, first]

    def forward(self, electrons: Tensor) -> Tensor:
        """Return the logarithm, `(B)`."""
        nuclear, mutual = self.distances(electrons)
        states = (-nuclear).logsumexp(-1).sum(-1)
        jastrow: Tensor = (_CUSP * mutual / (1 + mutual)).sum(-1)
        return states + jastrow


def _chain(atoms: int) -> Tensor:
    nuclei = torch.zeros(atoms, 3)
    nuclei[:, 2] = _BOND * torch.arange(atoms)
    return nuclei


def _to_nuclei(module: nn.Module, electrons: Tensor) -> Tensor:
    """Return offsets from each nucleus to each electron, `(B, N, nuclei, 3)`."""
    return electrons.unsqueeze(-2) - module.get_buffer("nuclei")


def _norm(x: Tensor) -> Tensor:
    return cast("Tensor", torch.linalg.vector_norm(x, dim=-1))


def _hydrogen(atoms: int) -> DerivativeSpec:
    electrons = _chain(atoms) + torch.randn(256, atoms, 3)
    return DerivativeSpec(Hydrogen(atoms), (electrons,), quantity="laplacian")


def _hydrogen_in_jax(spec: DerivativeSpec, electrons: Any) -> Any:
    jnp = load("jax.numpy")
    first, second = cast("Hydrogen", spec.fn).get_buffer("pairs").cpu().numpy()
    nuclear = jnp.linalg.norm(_to_nuclei_in_jax(spec, electrons), axis=-1)
    mutual = jnp.linalg.norm(electrons[second] - electrons[first], axis=-1)
    # Not logsumexp: its check for infinities would end folx's sparsity.
    states = jnp.log(jnp.exp(-nuclear).sum(-1)).sum()
    return states + (_CUSP * mutual / (1 + mutual)).sum()


def _to_nuclei_in_jax(spec: DerivativeSpec, electrons: Any) -> Any:
    nuclei = cast("nn.Module", spec.fn).get_buffer("nuclei").cpu().numpy()
    return electrons[:, None] - nuclei


class _Determinants(nn.Module):
    """Log of the absolute value of two determinants of orbitals, one for each spin.

    An orbital is a network of an electron's offsets and distances to the nuclei, and of
    their means over all electrons, under an envelope that decays as 1s states do.
    """

    def __init__(self, electrons: int) -> None:
        super().__init__()
        self.register_buffer("nuclei", _chain(2))
        self.orbitals = mlp(16, 64, 64, electrons // 2)

    def forward(self, electrons: Tensor) -> Tensor:
        offsets = _to_nuclei(self, electrons)
        distances = _norm(offsets)
        own = torch.cat([offsets.flatten(-2), distances], -1)
        mean = own.mean(-2, keepdim=True).expand_as(own)
        envelope = (-distances).exp().sum(-1, keepdim=True)
        orbitals = self.orbitals(torch.cat([own, mean], -1)) * envelope
        up, down = orbitals.chunk(2, -2)
        logs: Tensor = torch.linalg.slogdet(up)[1] + torch.linalg.slogdet(down)[1]
        return logs


def _quantum_net(electrons: int) -> DerivativeSpec:
    where = torch.randn(64, electrons, 3)
    return DerivativeSpec(_Determinants(electrons), (where,), quantity="laplacian")


def _quantum_in_jax(
    spec: DerivativeSpec, params: dict[str, Any], electrons: Any
) -> Any:
    jax, jnp = load("jax"), load("jax.numpy")
    offsets = _to_nuclei_in_jax(spec, electrons)
    distances = jnp.linalg.norm(offsets, axis=-1)
    own = jnp.concatenate([offsets.reshape(len(offsets), -1), distances], -1)
    mean = jnp.broadcast_to(own.mean(0, keepdims=True), own.shape)
    envelope = jnp.exp(-distances).sum(-1, keepdims=True)
    apply = jax.vmap(lambda row: mlp_in_jax(spec, params, row, "orbitals."))
    orbitals = apply(jnp.concatenate([own, mean], -1)) * envelope
    up, down = jnp.split(orbitals, 2)
    return jnp.linalg.slogdet(up)[1] + jnp.linalg.slogdet(down)[1]


WAVE_FUNCTIONS: tuple[Workload, ...] = (
    Workload(
        name="hydrogen",
        origin="A chain of hydrogen atoms in 1s states with a Jastrow factor, 256 "
        "walkers; R. Jastrow, 1955; W. Foulkes et al., Quantum Monte Carlo simulations "
        "of solids, 2001",
        use="The local kinetic energy of every walker, in variational and diffusion "
        "Monte Carlo.",
        **scale("electrons", 2, 6, 16, tiny=2),
        build=_hydrogen,
        jax_function=_hydrogen_in_jax,
    ),
    Workload(
        name="quantum_net",
        origin="Two determinants of MLP 16-64-64-n/2 on 64 walkers, a small FermiNet; "
        "D. Pfau et al., 2020, https://arxiv.org/abs/1909.02487; R. Li et al., 2024, "
        "https://arxiv.org/abs/2307.08214",
        use="The local kinetic energy takes most of the time of training a neural wave "
        "function.",
        **scale("electrons n", 4, 6, 10, tiny=4),
        build=_quantum_net,
        jax_function=_quantum_in_jax,
    ),
)
