"""Ratios as dots on a logarithmic axis, one strip for each thing compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from jacengine.report.figures.axes import FONT, LETTERS, blank, spaced, ticks, titled
from jacengine.report.figures.svg import colour, inline_svg
from jacengine.report.formatting import clipped

_ROW = 21
_SMALLEST, _GROWTH = 4.0, 4.0


@dataclass(frozen=True)
class Dot:
    """One ratio.

    Attributes:
        value: The ratio.
        paint: The name of its colour.
        scale: How large it is drawn, from 0 to 1.
    """

    value: float
    paint: str = "accent"
    scale: float = 0.0


@dataclass(frozen=True)
class Strip:
    """The ratios of one thing.

    Attributes:
        label: What it is.
        dots: Its ratios.
        text: What is said at its end.
        mean: A ratio that is marked.
    """

    label: str
    dots: tuple[Dot, ...]
    text: str = ""
    mean: float | None = None


def draw_strips(
    strips: Sequence[Strip],
    *,
    title: str,
    label: str,
    text: Callable[[float], str],
    salt: str,
) -> Markup | None:
    """Draw strips around a line at 1; `None` if there are none.

    Args:
        strips: From top to bottom.
        title: What the axis shows.
        label: What the figure shows, for those who do not see it.
        text: Writes a tick.
        salt: Tells its ids from those of other figures of the page.
    """
    values = [dot.value for strip in strips for dot in strip.dots]
    if not values:
        return None
    figure, axes = blank(_ROW * len(strips) + 52, left=148, right=56)
    axes.set_xscale("log")
    low, high = min(0.9, *values) / 1.08, max(1.2, *values) * 1.08
    axes.set_xlim(low, high)
    axes.set_ylim(len(strips) - 0.5, -0.5)
    axes.axvline(1, color=colour("muted"), linewidth=1)
    for place, strip in enumerate(strips):
        for dot in strip.dots:
            axes.plot(
                dot.value,
                place,
                "o",
                markersize=_SMALLEST + _GROWTH * dot.scale,
                color=colour(dot.paint),
                alpha=0.75,
                markeredgewidth=0,
            )
        if strip.mean is not None:
            axes.plot(
                [strip.mean], [place], "|", markersize=15, color=colour("ink"), mew=2
            )
        axes.annotate(
            strip.text,
            (1, place),
            (6, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=FONT,
            color=colour("ink"),
            annotation_clip=False,
        )
    ticks(axes.xaxis, spaced(low, high), text)
    titled(axes.xaxis, title)
    axes.set_yticks(
        range(len(strips)), [clipped(strip.label, LETTERS) for strip in strips]
    )
    axes.tick_params(axis="y", labelcolor=colour("ink"))
    return inline_svg(figure, label=label, salt=salt)
