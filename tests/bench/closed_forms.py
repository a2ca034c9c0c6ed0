"""Derivatives of workloads by formula, as references that differentiate nothing."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from jacengine.bench.workload import DerivativeSpec
from jacengine.bench.workloads import robots, wave_functions


def identity_like(x: Tensor, size: int) -> Tensor:
    return torch.eye(size, dtype=x.dtype, device=x.device)


def residual_flow(flow: Any, x: Tensor) -> Tensor:
    """Return the Jacobian `I + W2 diag(1 - tanh(W1 x + b1)^2) W1`."""
    first, _, last = flow.g
    slope = 1 - first(x).tanh() ** 2
    weights = last.weight * slope.unsqueeze(1)
    J: Tensor = identity_like(x, x.shape[1]) + weights @ first.weight
    return J


def deep_equilibrium(layer: Any, x: Tensor) -> Tensor:
    """Return `(I - D W)^-1 D U`, `D = diag(1 - z^2)`: implicit differentiation."""
    z = layer(x)
    slope = (1 - z**2).unsqueeze(-1)
    by_state = identity_like(z, z.shape[1]) - slope * layer.state.weight
    J: Tensor = torch.linalg.solve(by_state, slope * layer.input.weight)
    return J


def gaussian_mixture(mixture: Any, x: Tensor) -> dict[str, Tensor]:
    """Return the derivatives by the posterior of the components."""
    posterior = mixture.joint(x).softmax(-1)
    scales = mixture.log_scales.exp()
    deviations = (x.unsqueeze(-2) - mixture.means) / scales
    return {
        "logits": posterior - mixture.logits.softmax(0),
        "means": posterior.unsqueeze(-1) * deviations / scales,
        "log_scales": posterior.unsqueeze(-1) * (deviations**2 - 1),
    }


def score_divergence(mixture: Any, x: Tensor) -> Tensor:
    """Return the divergence from the mean and the spread of the component scores.

    The score is their mean, weighted by the posterior.
    """
    posterior = mixture.joint(x).softmax(-1)
    precisions = (-2 * mixture.log_scales).exp()
    scores = (mixture.means - x.unsqueeze(-2)) * precisions
    mean = (posterior.unsqueeze(-1) * scores).sum(-2)
    spread = (posterior * scores.square().sum(-1)).sum(-1) - mean.square().sum(-1)
    divergence: Tensor = spread - posterior @ precisions.sum(-1)
    return divergence


def robertson(_: object, y: Tensor) -> Tensor:
    _, b, c = y.unbind(-1)
    slow, none = torch.full_like(b, 0.04), torch.zeros_like(b)
    rows = (
        (-slow, 1e4 * c, 1e4 * b),
        (slow, -1e4 * c - 6e7 * b, -1e4 * b),
        (none, 6e7 * b, none),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def reaction_diffusion(_: object, fields: Tensor) -> Tensor:
    """Return blocks of the Laplacian and of diagonals."""
    u, v = fields.flatten(1)
    side = fields.shape[1]
    one = identity_like(fields, side)
    line = one.roll(1, 0) + one.roll(-1, 0) - 2 * one
    laplacian = 0.1 * side**2 * (torch.kron(line, one) + torch.kron(one, line))
    made_u, made_v = torch.diag(2 * u * v), torch.diag(u**2)
    fed = identity_like(fields, side**2)
    rows = (
        torch.cat([laplacian + made_u - 4.4 * fed, made_v], 1),
        torch.cat([3.4 * fed - made_u, laplacian - made_v], 1),
    )
    return torch.cat(rows).reshape(*fields.shape, *fields.shape)


def robot_arm(_: object, angles: Tensor) -> Tensor:
    """Return for each joint axis z the columns `z x axis` and `z x (hand - joint)`."""
    frames = robots._frames(angles, torch)
    tip = frames[-1][..., :3, :].swapaxes(-1, -2)
    columns: list[Tensor] = []
    for joint in [identity_like(angles, 4).expand_as(frames[0]), *frames[:-1]]:
        arms = torch.cat(
            [tip[..., :3, :], tip[..., 3:, :] - joint[..., None, :3, 3]], -2
        )
        columns.append(torch.linalg.cross(joint[..., None, :3, 2], arms, dim=-1))
    return torch.stack(columns, -1)


def hydrogen(atoms: Any, electrons: Tensor) -> Tensor:
    """Sum the contributions of the 1s states and of the Jastrow factor over electrons.

    Of a sum of 1s states `p`, `laplace(log p) = laplace(p) / p - |grad(p) / p|^2`.
    Factors of one electron and of two mix in no second derivative of their logarithm.
    """
    nuclear, mutual = atoms.distances(electrons)
    weights = (-nuclear).softmax(-1)
    offsets = wave_functions._to_nuclei(atoms, electrons)
    slope = (weights.unsqueeze(-1) * offsets / nuclear.unsqueeze(-1)).sum(-2)
    states = (weights * (1 - 2 / nuclear)).sum(-1) - slope.square().sum(-1)
    # u'' + 2 u' / r, of both electrons.
    first, second = 0.5 / (1 + mutual) ** 2, -1 / (1 + mutual) ** 3
    jastrow: Tensor = 2 * (second + 2 * first / mutual)
    laplacian: Tensor = states.sum(-1) + jastrow.sum(-1)
    return laplacian


CLOSED_FORMS: dict[str, Callable[[Any, Tensor], Any]] = {
    form.__name__: form
    for form in (
        residual_flow,
        deep_equilibrium,
        gaussian_mixture,
        score_divergence,
        robertson,
        reaction_diffusion,
        robot_arm,
        hydrogen,
    )
}
"""By the name of the workload; they take its function and the argument."""


def closed_form(name: str, spec: DerivativeSpec) -> Any:
    with torch.no_grad():
        return CLOSED_FORMS[name](spec.fn, *spec.args)
