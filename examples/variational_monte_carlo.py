# ruff: noqa: T201
"""Variational Monte Carlo: the ground state of a quantum spin chain.

The transverse-field Ising chain `H = -sum_i Z_i Z_{i+1} - FIELD sum_i X_i`, with
periodic ends, is small enough to be diagonalized exactly, which checks the result. The
wave function is a restricted Boltzmann machine with complex weights; its logarithmic
derivatives of all samples are one Jacobian by parameters. Stochastic reconfiguration
solves a system of the samples' size instead of the parameters' (minSR: A. Chen and
M. Heyl, 2024, https://doi.org/10.1038/s41567-024-02566-1).
"""

import math

import torch
from torch import Tensor, nn

import jacengine

SPINS = 10
FIELD = 1.0
SAMPLES = 256
STEPS = 60
RATE = 0.05
SHIFT = 1e-3  # added to the diagonal of the Gram matrix


class Boltzmann(nn.Module):
    """The logarithm of the amplitude: `a s + sum_j log(cosh(b_j + W_j s))`.

    Weights are complex, and stored as pairs of real numbers; so is the output.
    """

    def __init__(self, spins: int, hidden: int) -> None:
        super().__init__()
        self.visible = nn.Parameter(0.05 * torch.randn(spins, 2))
        self.bias = nn.Parameter(0.05 * torch.randn(hidden, 2))
        self.weight = nn.Parameter(0.05 * torch.randn(hidden, spins, 2))

    def forward(self, s: Tensor) -> Tensor:
        """Map spins `(B, N)` to real and imaginary parts `(B, 2)`."""
        a, b, W = map(torch.view_as_complex, (self.visible, self.bias, self.weight))
        s = s.to(a.dtype)
        return torch.view_as_real(s @ a + (b + s @ W.T).cosh().log().sum(1))


@torch.no_grad()
def sampled(model: nn.Module, s: Tensor, sweeps: int) -> Tensor:
    """Continue one Metropolis chain a sample, by flips of single spins."""
    s = s.clone()
    weight = model(s)[:, 0]
    chains = torch.arange(len(s))
    for _ in range(sweeps * s.shape[1]):
        trial = s.clone()
        trial[chains, torch.randint(s.shape[1], (len(s),))] *= -1
        proposed = model(trial)[:, 0]
        accept = torch.rand(len(s)).log() < 2 * (proposed - weight)
        s[accept], weight[accept] = trial[accept], proposed[accept]
    return s


@torch.no_grad()
def local_energies(model: nn.Module, s: Tensor) -> Tensor:
    """Return `(H psi)(s) / psi(s)`, complex, of each sample."""
    count = s.shape[1]
    flips = s.unsqueeze(1) * (1 - 2 * torch.eye(count, dtype=s.dtype))
    amplitudes = torch.view_as_complex(model(flips.flatten(0, 1))).view(-1, count)
    ratios = (amplitudes - torch.view_as_complex(model(s)).unsqueeze(1)).exp()
    return -(s * s.roll(1, 1)).sum(1) - FIELD * ratios.sum(1)


def centered(values: Tensor) -> Tensor:
    """Subtract the mean over samples, and divide by the root of their number."""
    return (values - values.mean(0)) / math.sqrt(len(values))


def direction(J: Tensor, energies: Tensor) -> Tensor:
    """Return the step of stochastic reconfiguration, `(P,)`.

    With `O` the centred logarithmic derivatives and `e` the centred energies, it is
    `(Re O^H O + shift)^-1 Re O^H e = X^T (X X^T + shift)^-1 r`, where `X` and `r` have
    the real and the imaginary parts below each other.

    Args:
        J: Real and imaginary parts of the derivatives, `(B, 2, P)`.
        energies: The local energies, `(B,)`.
    """
    X = centered(J).flatten(0, 1)
    r = centered(torch.view_as_real(energies)).flatten()
    gram = X @ X.T + SHIFT * torch.eye(len(X), dtype=X.dtype)
    return X.T @ torch.linalg.solve(gram, r)


def exact_energy(spins: int) -> float:
    """Return the lowest eigenvalue of the Hamiltonian, as a dense matrix."""
    states = torch.arange(2**spins)
    bits = 2.0 * (states.unsqueeze(1) >> torch.arange(spins) & 1) - 1
    H = torch.diag(-(bits * bits.roll(1, 1)).sum(1)).double()
    for i in range(spins):
        H[states, states ^ (1 << i)] -= FIELD
    return float(torch.linalg.eigvalsh(H)[0])


def main() -> None:
    """Minimize the energy, and compare it with the exact one."""
    torch.manual_seed(0)
    model = Boltzmann(SPINS, 2 * SPINS).double()
    start = 2 * torch.randint(2, (SAMPLES, SPINS)).double() - 1
    s = sampled(model, start, sweeps=10)
    derivatives = jacengine.plan(model, s, wrt="params", batch_dim=0, layout="flat")
    for step in range(STEPS + 1):
        s = sampled(model, s, sweeps=2)
        energies = local_energies(model, s)
        if step % 20 == 0:
            error = energies.real.std() / math.sqrt(SAMPLES)
            print(f"step {step:3}: energy {energies.real.mean():8.4f} +- {error:.4f}")
        update = direction(derivatives(s), energies)
        vector = nn.utils.parameters_to_vector(model.parameters()).detach()
        nn.utils.vector_to_parameters(vector - RATE * update, model.parameters())
    energies = local_energies(model, sampled(model, s.repeat(8, 1), sweeps=5))
    found, exact = float(energies.real.mean()), exact_energy(SPINS)
    print(f"variational {found:.4f}, exact {exact:.4f}")
    print(f"relative error {abs(found / exact - 1):.5f}")


if __name__ == "__main__":
    main()
