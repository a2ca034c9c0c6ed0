"""Placement of the labels of points, so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Box = NDArray[np.float64]
"""A rectangle `(left, bottom, right, top)`, in pixels."""
_GAP = 9.0
_POINT = np.array([-6.0, -6.0, 6.0, 6.0])
_FAR, _NEAR = _GAP - 2, 3.0


def place_labels(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    required: Sequence[bool],
    frame: Box,
    obstacles: Sequence[Box] = (),
) -> list[Box | None]:
    """Place one label at each point.

    Args:
        points: The positions of the points.
        sizes: Width and height of the labels.
        required: Whether a label must appear even if it covers something; the others
            appear where there is room.
        frame: The area for labels.
        obstacles: Other areas that labels should not cover.

    Returns:
        A box, or `None` where there is no room.
    """
    taken = [np.array([*point, *point]) + _POINT for point in points]
    taken += obstacles
    placed: list[Box | None] = [None] * len(points)
    for i in sorted(range(len(points)), key=lambda i: not required[i]):
        others = np.array(taken[:i] + taken[i + 1 :]).reshape(-1, 4)
        boxes = [box for box in _candidates(points[i], sizes[i]) if _inside(box, frame)]
        costs = [overlap(box, others) for box in boxes]
        if costs and (required[i] or min(costs) == 0):
            placed[i] = best = boxes[int(np.argmin(costs))]
            taken.append(best)
    return placed


def overlap(box: Box, others: Box) -> float:
    """Sum the areas that a box shares with others, one in each row."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    return float((high - low).clip(0).prod(axis=1).sum())


def _inside(box: Box, frame: Box) -> bool:
    return bool((box[:2] >= frame[:2]).all() and (box[2:] <= frame[2:]).all())


def _candidates(point: tuple[float, float], size: tuple[float, float]) -> list[Box]:
    """List the boxes next to a point, the best first: beside it, above, below."""
    (x, y), (width, height) = point, size
    beside = [
        (left, bottom)
        for bottom in (y - height / 2, y + _NEAR, y - _NEAR - height)
        for left in (x + _GAP, x - _GAP - width)
    ]
    above_below = [
        (x - share * width, bottom)
        for bottom in (y + _FAR, y - _FAR - height)
        for share in (0.5, 0.25, 0.75, 0.0, 1.0)
    ]
    corners = np.array(beside + above_below)
    return list(np.hstack([corners, corners + size]))
