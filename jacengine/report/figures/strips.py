"""Strip plots: ratios as dots on a logarithmic axis, one strip for each category."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from markupsafe import Markup

from jacengine.report.figures.axes import (
    FACTOR_FORMAT,
    LETTERS,
    STYLE,
    log_axis,
    new_axes,
)
from jacengine.report.figures.svg import colour, inline_svg
from jacengine.report.formatting import truncated

_ROW_HEIGHT = 21
_SMALLEST, _GROWTH = 4.0, 4.0


@dataclass(frozen=True)
class Strip:
    """The ratios of one category.

    Attributes:
        label: The category.
        values: The ratios.
        colours: The names of their colours.
        text: The text at the end of the strip.
        scales: The relative sizes of the dots, from 0 to 1.
        mean: A ratio to mark.
    """

    label: str
    values: Sequence[float]
    colours: Sequence[str]
    text: str
    scales: Sequence[float] | float = 0.0
    mean: float | None = None


@mpl.rc_context(STYLE)
def strip_plot(
    strips: Sequence[Strip], *, title: str, label: str, salt: str
) -> Markup | None:
    """Draw strips around a line at 1; `None` if there are none.

    Args:
        strips: From top to bottom.
        title: The title of the axis.
        label: The description for readers who do not see the figure; the text of each
            strip is appended.
        salt: Distinguishes its ids from those of other figures of the page.
    """
    if not strips:
        return None
    axes = new_axes(_ROW_HEIGHT * len(strips) + 52, left=148, right=56)
    values = [value for strip in strips for value in strip.values]
    limits = min(0.9, *values) / 1.08, max(1.2, *values) * 1.08
    log_axis(axes, "x", limits, FACTOR_FORMAT)
    axes.set_xlabel(title)
    axes.set_ylim(len(strips) - 0.5, -0.5)
    labels = [truncated(strip.label, LETTERS) for strip in strips]
    axes.set_yticks(range(len(strips)), labels, color=colour("ink"))
    axes.axvline(1, color=colour("muted"), linewidth=1)
    for place, strip in enumerate(strips):
        axes.scatter(
            strip.values,
            [place] * len(strip.values),
            s=(_SMALLEST + _GROWTH * np.asarray(strip.scales)) ** 2,
            c=[colour(name) for name in strip.colours],
            alpha=0.75,
            linewidths=0,
            zorder=2,
        )
        if strip.mean is not None:
            axes.plot(strip.mean, place, "|", ms=15, mew=2, color=colour("ink"))
        axes.annotate(
            strip.text,
            (1, place),
            (6, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            annotation_clip=False,
        )
    label += "; ".join(f"{strip.label} {strip.text}" for strip in strips)
    return inline_svg(axes, label=label, salt=salt)
