# ruff: noqa: T201
"""Find cameras and points from what the cameras see, with SciPy and sparse Jacobians.

Each residual depends on one camera and one point, so twelve directions give all of J,
however many there are. The pattern is found once; each iteration computes the values.
"""

import numpy as np
import torch
from scipy.optimize import least_squares
from torch import Tensor

import jacengine
from jacengine.integrations import scipy as jscipy

CAMERAS, POINTS = 6, 80
"""Cameras have a rotation vector and a translation, points three coordinates."""


class Scene:
    """What a ring of cameras sees of a cloud of points."""

    def __init__(self) -> None:
        """Place cameras and points, and look."""
        generator = torch.Generator().manual_seed(0)
        self.camera = torch.arange(CAMERAS).repeat_interleave(POINTS)
        self.point = torch.arange(POINTS).repeat(CAMERAS)
        self.seen = torch.zeros(CAMERAS * POINTS, 2, dtype=torch.float64)
        turns = 0.3 * torch.randn(CAMERAS, 6, generator=generator, dtype=torch.float64)
        cloud = torch.randn(POINTS, 3, generator=generator, dtype=torch.float64)
        self.truth = torch.cat([turns.flatten(), cloud.flatten()])
        self.seen = self.residuals(self.truth).reshape(-1, 2)
        noise = torch.randn(len(self.truth), generator=generator, dtype=torch.float64)
        self.start = self.truth + 0.1 * noise

    def residuals(self, x: Tensor) -> Tensor:
        """Return how far the images of the points are from what was seen."""
        cameras = x[: 6 * CAMERAS].view(-1, 6)[self.camera]
        points = x[6 * CAMERAS :].view(-1, 3)[self.point]
        turned = points + torch.linalg.cross(cameras[:, :3], points)
        placed = turned + cameras[:, 3:]
        image = placed[:, :2] / (placed[:, 2:] + 8)
        return (image - self.seen).flatten()


def main() -> None:
    """Solve, and say how well."""
    scene = Scene()
    pattern = jacengine.sparsity(scene.residuals, scene.start)
    print(pattern)
    fun, jac = jscipy.residuals(
        scene.residuals, scene.start, sparse="csr", sparsity=pattern
    )
    start = scene.start.numpy()
    found = least_squares(fun, start, jac, x_scale="jac", method="trf")
    print(f"residual {np.linalg.norm(fun(start)):.3f} at the start")
    print(f"residual {np.linalg.norm(found.fun):.1e} after {found.njev} Jacobians")


if __name__ == "__main__":
    main()
