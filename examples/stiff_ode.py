# ruff: noqa: T201
"""Stiff ODEs in PyTorch: a Rosenbrock method on a batch, with Jacobians of one plan.

Each step of RODAS (Hairer and Wanner, Solving Ordinary Differential Equations II,
section IV.7) solves six linear systems with one matrix, `1 / (gamma h) - J`, for every
sample. Samples have step sizes of their own. The result is compared with SciPy's Radau
at a tight tolerance, and with solvers of torchdiffeq where that is installed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

import jacengine

try:
    from torchdiffeq import odeint
except ImportError:
    odeint = None

Field = Callable[[Tensor, Tensor], Tensor]
"""The right-hand side of `dy/dt = f(y, p)`, of states and parameters `(B, ...)`."""

GAMMA = 0.25
STATE = (
    (),
    (1.544,),
    (0.9466785280815826, 0.2557011698983284),
    (3.314825187068521, 2.896124015972201, 0.9986419139977817),
    (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950),
    (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950, 1.0),
)
"""What each stage adds to the state, of the stages before."""
SLOPE = (
    (),
    (-5.6688,),
    (-2.430093356833875, -0.2063599157091915),
    (-0.1073529058151375, -9.594562251023355, -20.47028614809616),
    (7.496443313967647, -10.24680431464352, -33.99990352819905, 11.70890893206160),
    (
        8.083246795921522,
        -7.981132988064893,
        -31.52159432874371,
        16.31930543123136,
        -6.058818238834054,
    ),
)
"""What each stage adds to the slope, divided by the step size."""


@dataclass
class Solution:
    """The states at the end, and what they took.

    Attributes:
        y: The states `(B, n)`.
        steps: The steps of each sample `(B,)`, rejected ones included.
        evaluations: The evaluations of the field, each of the whole batch.
        jacobians: The Jacobians, each of the whole batch.
    """

    y: Tensor
    steps: Tensor
    evaluations: int = 0
    jacobians: int = 0


def rodas_step(
    f: Field, J: Tensor, y: Tensor, p: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """Take a step of size `h` (B, 1).

    Returns:
        The new states, and estimates of their errors.
    """
    eye = torch.eye(y.shape[1], dtype=y.dtype)
    lu, pivots = torch.linalg.lu_factor(eye / (GAMMA * h.unsqueeze(-1)) - J)
    stages: list[Tensor] = []
    for state, slope in zip(STATE, SLOPE, strict=True):
        at = y + sum(a * u for a, u in zip(state, stages, strict=True))
        right = f(at, p) + sum(c * u for c, u in zip(slope, stages, strict=True)) / h
        stages.append(torch.linalg.lu_solve(lu, pivots, right.unsqueeze(-1))[..., 0])
    return at + stages[-1], stages[-1]


def solve(
    f: Field,
    y: Tensor,
    p: Tensor,
    end: float,
    *,
    rtol: float = 1e-6,
    atol: float = 1e-9,
) -> Solution:
    """Integrate from time 0 to `end`, each sample with its own step sizes."""
    # Some hundred steps do not pay for compiling.
    plan = jacengine.plan(f, y, p, batch_dim=0, compiled=False)
    solution = Solution(y, torch.zeros(len(y), dtype=torch.int64))
    t = torch.zeros(len(y), 1, dtype=y.dtype)
    scale = atol + rtol * y.abs()
    speed = (f(y, p) / scale).square().mean(1, keepdim=True).sqrt()
    h = (1e-2 / speed.clamp_min(1e-12)).clamp(max=end)
    while bool((t < end).any()):
        active = t < end
        h = torch.where(active, torch.minimum(h, end - t), end)
        J = plan(y, p)
        new, error = rodas_step(f, J, y, p, h)
        scale = atol + rtol * torch.maximum(y.abs(), new.abs())
        size = (error / scale).square().mean(1, keepdim=True).sqrt().nan_to_num(1e10)
        accepted = active & (size <= 1)
        y = torch.where(accepted, new, y)
        last = h >= end - t  # exactly at the end, whatever rounding says
        t = torch.where(accepted, torch.where(last, end, t + h), t)
        h = h * (0.9 * size.clamp_min(1e-10) ** -0.25).clamp(0.2, 6.0)
        solution.steps += active[:, 0]
        solution.evaluations += len(STATE)
        solution.jacobians += 1
        if bool((active & (h < 1e-14 * end)).any()):
            raise RuntimeError("The step size went to zero: the solution may blow up.")
    solution.y = y
    return solution


def robertson(y: Tensor, p: Tensor) -> Tensor:
    """Return the rates of three reactions, whose constants are `p` (B, 3)."""
    a, b, c = y.unbind(1)
    slow, fast, back = p.unbind(1)
    first, second, third = slow * a, fast * b * b, back * b * c
    return torch.stack([third - first, first - third - second, second], 1)


def van_der_pol(y: Tensor, p: Tensor) -> Tensor:
    """Return the field of Van der Pol's oscillator, of stiffness `p` (B, 1)."""
    x, v = y.unbind(1)
    return torch.stack([v, p[:, 0] * (1 - x * x) * v - x], 1)


def problems(size: int) -> dict[str, tuple[Field, Tensor, Tensor, float]]:
    """Return fields, initial states, parameters and end times of `size` samples."""
    factor = torch.logspace(-0.5, 0.5, size, dtype=torch.float64).unsqueeze(1)
    rates = torch.tensor([[0.04, 3e7, 1e4]], dtype=torch.float64)
    start = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    rest = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    return {
        "Robertson": (robertson, start.repeat(size, 1), rates * factor, 1e4),
        "Van der Pol": (van_der_pol, rest.repeat(size, 1), 300 * factor, 20.0),
    }


def radau(f: Field, y: Tensor, p: Tensor, end: float) -> Tensor:
    """Integrate sample by sample with SciPy, at a tight tolerance."""

    def one(start: Tensor, own: Tensor) -> Tensor:
        def field(_: float, state: np.ndarray) -> np.ndarray:
            return f(torch.from_numpy(state)[None], own[None])[0].numpy()

        span = (0.0, end)
        found = solve_ivp(
            field, span, start.numpy(), method="Radau", rtol=1e-10, atol=1e-13
        )
        return torch.from_numpy(found.y[:, -1].copy())

    return torch.stack([one(*pair) for pair in zip(y, p, strict=True)])


def error(found: Tensor, expected: Tensor) -> float:
    """Return the largest error, relative to the largest value of each component."""
    return float(((found - expected).abs() / expected.abs().amax(0)).max())


def report(f: Field, y: Tensor, p: Tensor, end: float) -> tuple[Tensor, float]:
    """Solve, and print what it took; return the reference, and the seconds."""
    solve(f, y, p, end)  # the plan is made, and kept for functions that do the same
    started = time.perf_counter()
    found = solve(f, y, p, end)
    seconds = time.perf_counter() - started
    expected = radau(f, y, p, end)
    print(
        f"  RODAS: {int(found.steps.min())} to {int(found.steps.max())} steps a sample,"
        f" {found.evaluations} evaluations, {found.jacobians} Jacobians, error "
        f"{error(found.y, expected):.1e}"
    )
    return expected, seconds


def report_torchdiffeq(method: str, scale: float, size: int) -> None:
    """Compare with a method of torchdiffeq, on an oscillator of other stiffness."""
    _, y, p, _ = problems(size)["Van der Pol"]
    p, end, count = p * scale, 2.0, 0
    print(f"Van der Pol, {scale:g} times as stiff, {size} samples to t = {end:g}")
    reference, seconds = report(van_der_pol, y, p, end)

    def field(_: Tensor, state: Tensor) -> Tensor:
        nonlocal count
        count += 1
        return van_der_pol(state, p)

    times = torch.tensor([0.0, end], dtype=y.dtype)
    # Longer steps of `implicit_adams` diverge here.
    options = {"step_size": 2e-4} if method == "implicit_adams" else None
    started = time.perf_counter()
    found = odeint(
        field, y, times, method=method, options=options, rtol=1e-6, atol=1e-9
    )
    ratio = (time.perf_counter() - started) / seconds
    print(
        f"  torchdiffeq {method}: {count} evaluations, error "
        f"{error(found[-1], reference):.1e}, {ratio:.1f} times as long"
    )


def main(size: int = 8, *, compare: bool = True) -> None:
    """Solve both problems, and compare."""
    for name, (f, y, p, end) in problems(size).items():
        print(f"{name}, {size} samples to t = {end:g}")
        report(f, y, p, end)
    if compare and odeint is not None:
        report_torchdiffeq("dopri5", 1.0, size)
        report_torchdiffeq("implicit_adams", 0.1, size)


if __name__ == "__main__":
    main()
