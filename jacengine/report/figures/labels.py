"""Where the names of points in a figure go, so that none covers another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_GAP = 9.0
_POINT = 6.0


@dataclass(frozen=True)
class Box:
    """A rectangle, in pixels.

    Attributes:
        left: Where it begins.
        bottom: Where it begins, upwards.
        width: Its width.
        height: Its height.
    """

    left: float
    bottom: float
    width: float
    height: float

    def shared(self, other: Box) -> float:
        """Return the area that two boxes share."""
        wide = min(self.left + self.width, other.left + other.width)
        high = min(self.bottom + self.height, other.bottom + other.height)
        across = max(0.0, wide - max(self.left, other.left))
        return across * max(0.0, high - max(self.bottom, other.bottom))

    def holds(self, other: Box) -> bool:
        """Whether another box lies within this one."""
        return self.shared(other) >= 0.999 * other.width * other.height


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    needed: Sequence[bool],
    frame: Box,
    obstacles: Sequence[Box] = (),
) -> list[Box | None]:
    """Place one label a point.

    Args:
        points: Their places.
        sizes: Width and height of the labels.
        needed: Whether a label must appear even if it covers something; the others
            appear where there is room.
        frame: Where labels may be.
        obstacles: What else they should not cover.

    Returns:
        A box, or `None` where there is no room.
    """
    taken = [Box(x - _POINT, y - _POINT, 2 * _POINT, 2 * _POINT) for x, y in points]
    taken += obstacles
    placed: list[Box | None] = [None] * len(points)
    for i in sorted(range(len(points)), key=lambda i: not needed[i]):
        others = taken[:i] + taken[i + 1 :]
        inside = [box for box in _around(points[i], sizes[i]) if frame.holds(box)]
        costs = [sum(box.shared(other) for other in others) for box in inside]
        if not costs or (min(costs) > 0 and not needed[i]):
            continue
        best = inside[costs.index(min(costs))]
        placed[i] = best
        taken.append(best)
    return placed


def _around(point: tuple[float, float], size: tuple[float, float]) -> Iterator[Box]:
    """Yield the boxes next to a point, the best first."""
    (x, y), (width, height) = point, size
    right, left = x + _GAP, x - _GAP - width
    for bottom in (y - height / 2, y + 3, y - 3 - height):
        yield Box(right, bottom, width, height)
        yield Box(left, bottom, width, height)
    for bottom in (y + _GAP - 2, y - _GAP + 2 - height):
        yield from (Box(start, bottom, width, height) for start in _across(x, width))


def _across(x: float, width: float) -> tuple[float, ...]:
    return tuple(x - share * width for share in (0.5, 0.25, 0.75, 0.0, 1.0))
