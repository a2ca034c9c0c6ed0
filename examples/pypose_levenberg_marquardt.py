# ruff: noqa: T201
"""Poses of a robot from landmarks, by PyPose's optimizer with Jacobians of jacengine.

`pypose.optim.LevenbergMarquardt` calls `modjac` at every step. With the drop-in in the
place of that name it takes the same steps, by the method that is fastest for the model.
"""

import sys

import torch
from torch import Tensor, nn

try:
    import pypose as pp
    from pypose.optim import optimizer as pypose_optimizer
except ImportError:
    print("This example needs PyPose: pip install pypose==0.9.5", file=sys.stderr)
    raise SystemExit(2) from None

from jacengine.integrations.pypose import modjac


class Localization(nn.Module):
    """Landmarks seen from unknown poses; the residual is the error of their places."""

    def __init__(self, poses: "pp.LieTensor") -> None:
        super().__init__()
        self.poses = pp.Parameter(poses)

    def forward(self, landmarks: Tensor, seen: Tensor) -> Tensor:
        """Return the error of each landmark, seen from each pose: `(P, L * 3)`."""
        moved = self.poses.unsqueeze(-2).Act(landmarks)
        return (moved - seen).flatten(1)


def scene(poses: int, landmarks: int) -> tuple["pp.LieTensor", Tensor, Tensor]:
    """Draw true poses, landmarks, and where these are seen, with noise."""
    truth = pp.randn_SE3(poses, dtype=torch.float64)
    places = 3 * torch.randn(landmarks, 3, dtype=torch.float64)
    seen = truth.unsqueeze(-2).Act(places)
    return truth, places, seen + 1e-3 * torch.randn_like(seen)


def fit(
    start: "pp.LieTensor", landmarks: Tensor, seen: Tensor, steps: int
) -> tuple[list[float], "pp.LieTensor"]:
    """Return the loss after each step, and the poses that were found."""
    model = Localization(start.clone())
    strategy = pp.optim.strategy.Adaptive(damping=1e-4)
    optimizer = pp.optim.LevenbergMarquardt(model, strategy=strategy)
    losses = [float(optimizer.step((landmarks, seen))) for _ in range(steps)]
    return losses, model.poses.detach()


def main() -> None:
    """Fit with PyPose's Jacobians and with those of jacengine, and compare."""
    torch.manual_seed(0)
    truth, landmarks, seen = scene(poses=8, landmarks=20)
    start = truth @ pp.randn_SE3(8, sigma=0.3, dtype=torch.float64)
    theirs, _ = fit(start, landmarks, seen, steps=6)
    pypose_optimizer.modjac = modjac
    ours, found = fit(start, landmarks, seen, steps=6)
    print("step  PyPose       jacengine")
    for step, pair in enumerate(zip(theirs, ours, strict=True)):
        print(f"{step:4}  {pair[0]:.6e}  {pair[1]:.6e}")
    error = (found @ truth.Inv()).Log().tensor().norm(dim=1).max()
    print(f"largest error of a pose: {float(error):.1e}")


if __name__ == "__main__":
    main()
