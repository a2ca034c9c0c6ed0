"""Bundle adjustment: every point in the image of every camera."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jacengine.bench.workload import DerivativeSpec, Workload, seeded

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


VISION: tuple[Workload, ...] = (
    Workload(
        name="bundle_adjustment",
        origin="Four cameras that see all points, in the camera model of S. Agarwal et "
        "al., Bundle adjustment in the large, 2010, "
        "https://grail.cs.washington.edu/projects/bal",
        use="Structure from motion solves for cameras and points at once; a residual "
        "depends on one camera and one point, so most entries are zero.",
        parameter="points",
        sizes=(16, 64, 256),
        tiny=2,
        build=seeded(_scene),
    ),
)
