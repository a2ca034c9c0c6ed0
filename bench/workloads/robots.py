"""Kinematics and dynamics of robots, and what their cameras see.

A single pose or knot is a point, as in a control loop; several are samples.
"""

from __future__ import annotations

import math
from math import pi
from typing import Any

import torch
from torch import Tensor, nn

from jacengine.bench.optional_libraries import load
from jacengine.bench.workload import DerivativeSpec, Workload, scale

_LENGTHS = (0.36, 0.0, 0.42, 0.0, 0.4, 0.0, 0.126)
_TWISTS = (-pi / 2, pi / 2, pi / 2, -pi / 2, -pi / 2, pi / 2, 0.0)


def _frames(angles: Any, xp: Any) -> list[Any]:
    """Return the frame after each joint, `(4, 4)` each.

    Each link has its length along the joint's axis and the twist to the next axis
    (J. Denavit, R. S. Hartenberg, 1955).
    """
    frames: list[Any] = []
    for joint, (length, twist) in enumerate(zip(_LENGTHS, _TWISTS, strict=True)):
        c, s = xp.cos(angles[..., joint]), xp.sin(angles[..., joint])
        ct, st = math.cos(twist), math.sin(twist)
        none, one = xp.zeros_like(c), xp.ones_like(c)
        rows = (
            xp.stack([c, -s * ct, s * st, none], -1),
            xp.stack([s, c * ct, -c * st, none], -1),
            xp.stack([none, st * one, ct * one, length * one], -1),
            xp.stack([none, none, none, one], -1),
        )
        link = xp.stack(rows, -2)
        frames.append(frames[-1] @ link if frames else link)
    return frames


def hand(angles: Any, xp: Any = torch) -> Any:
    """Return the axes and then the position, `(4, 3)`, of a seven-joint arm's hand."""
    return _frames(angles, xp)[-1][..., :3, :].swapaxes(-1, -2)


def _points(fn: Any, *args: Tensor) -> DerivativeSpec:
    """Specify a single point if there is one, else independent samples."""
    if len(args[0]) == 1:
        return DerivativeSpec(fn, tuple(arg[0] for arg in args), batch_dim=None)
    return DerivativeSpec(fn, args)


_MASS, _GRAVITY, _ARM, _DRAG = 0.6, 9.81, 0.18, 0.03
_INERTIA = (3.7e-3, 3.9e-3, 7.4e-3)


def quadrotor(state: Any, thrusts: Any, xp: Any = torch) -> Any:
    """Return the rates of position, velocity, roll-pitch-yaw and body rates, `(12)`."""
    vx, vy, vz = state[..., 3], state[..., 4], state[..., 5]
    roll, pitch, yaw = state[..., 6], state[..., 7], state[..., 8]
    p, q, r = state[..., 9], state[..., 10], state[..., 11]
    front, left, back, right = (thrusts[..., rotor] for rotor in range(4))
    lift = (front + left + back + right) / _MASS
    sr, cr, sp, cp = xp.sin(roll), xp.cos(roll), xp.sin(pitch), xp.cos(pitch)
    sy, cy = xp.sin(yaw), xp.cos(yaw)
    ix, iy, iz = _INERTIA
    turning = q * sr + r * cr
    return xp.stack(
        [
            vx,
            vy,
            vz,
            lift * (cy * sp * cr + sy * sr),
            lift * (sy * sp * cr - cy * sr),
            lift * cp * cr - _GRAVITY,
            p + turning * sp / cp,
            q * cr - r * sr,
            turning / cp,
            (_ARM * (left - right) - (iz - iy) * q * r) / ix,
            (_ARM * (back - front) - (ix - iz) * p * r) / iy,
            (_DRAG * (front - left + back - right) - (iy - ix) * p * q) / iz,
        ],
        -1,
    )


def _knots(knots: int) -> DerivativeSpec:
    state = torch.randn(knots, 12, dtype=torch.float64) / 3
    return _points(quadrotor, state, 1 + torch.rand(knots, 4, dtype=torch.float64))


_CAMERAS = 4


class _Reprojection(nn.Module):
    """Reprojection errors, by one vector of all cameras and points.

    A camera is a rotation vector, a translation, a focal length and two coefficients of
    radial distortion.
    """

    def __init__(self, reference: Tensor) -> None:
        super().__init__()
        observed = _images(reference)
        self.register_buffer("observed", observed + torch.randn_like(observed))

    def forward(self, unknowns: Tensor) -> Tensor:
        return _images(unknowns) - self.get_buffer("observed")


def _images(unknowns: Tensor) -> Tensor:
    """Return pixels `(cameras, points, 2)`."""
    cameras = unknowns[: 9 * _CAMERAS].reshape(_CAMERAS, 1, 9)
    points = unknowns[9 * _CAMERAS :].reshape(1, -1, 3)
    seen = _rotated(cameras[..., :3], points) + cameras[..., 3:6]
    plane = -seen[..., :2] / seen[..., 2:]
    square = (plane**2).sum(-1, keepdim=True)
    focal, k1, k2 = cameras[..., 6:].split(1, -1)
    scale: Tensor = focal * (1 + k1 * square + k2 * square**2)
    return scale * plane


def _rotated(vector: Tensor, points: Tensor) -> Tensor:
    """Rotate points by a rotation vector (O. Rodrigues, 1840)."""
    angle = vector.square().sum(-1, keepdim=True).sqrt()
    axis, points = torch.broadcast_tensors(vector / angle, points)
    along = (axis * points).sum(-1, keepdim=True)
    across = torch.linalg.cross(axis, points, dim=-1)
    c, s = angle.cos(), angle.sin()
    rotated: Tensor = points * c + across * s + axis * along * (1 - c)
    return rotated


def _scene(points: int) -> DerivativeSpec:
    camera = torch.tensor([0, 0, 0, 0, 0, -5, 500, 0.01, 0.001], dtype=torch.float64)
    cameras = camera.repeat(_CAMERAS, 1)
    cameras[:, :6] += torch.randn(_CAMERAS, 6, dtype=torch.float64) / 10
    unknowns = torch.cat(
        [cameras.flatten(), torch.rand(3 * points, dtype=torch.float64) - 0.5]
    )
    return DerivativeSpec(_Reprojection(unknowns), (unknowns,), batch_dim=None)


ROBOTS: tuple[Workload, ...] = (
    Workload(
        name="robot_arm",
        origin="Seven-joint arm by the rules of J. Denavit, R. S. Hartenberg, 1955, "
        "with the link lengths of a KUKA iiwa",
        use="Control loops and inverse kinematics wait for the pose's derivatives by "
        "the joint angles; planners take them for many poses.",
        **scale("poses", 1, 100, 5000, tiny=2),
        build=lambda n: _points(hand, torch.randn(n, 7, dtype=torch.float64)),
        jax_function=lambda _, angles: hand(angles, load("jax.numpy")),
    ),
    Workload(
        name="quadrotor",
        origin="Rigid body with four rotors; R. Mahony, V. Kumar, P. Corke, "
        "Multirotor aerial vehicles, 2012",
        use="LQR and model-predictive control linearise the 12-state dynamics at every "
        "knot of the horizon.",
        **scale("knots", 1, 100, 10_000, tiny=2),
        build=_knots,
        jax_function=lambda _, x, thrusts: quadrotor(x, thrusts, load("jax.numpy")),
    ),
)

VISION: tuple[Workload, ...] = (
    Workload(
        name="bundle_adjustment",
        origin="Four cameras that see all points, in the camera model of S. Agarwal et "
        "al., Bundle adjustment in the large, 2010, "
        "https://grail.cs.washington.edu/projects/bal",
        use="Structure from motion solves for cameras and points at once; a residual "
        "depends on one camera and one point, so most entries are zero.",
        **scale("points", 16, 64, 256, tiny=2),
        build=_scene,
    ),
)
