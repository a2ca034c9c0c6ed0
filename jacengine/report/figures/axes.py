"""What the figures of a report share: style, axes, colours, and their SVG.

Colours are drawn as placeholders, one hex value each, and become CSS variables, so that
the page's scheme (light, dark, print) applies to the figure too. Text remains text.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, Locator, LogLocator, MaxNLocator, NullLocator

from jacengine.report.case import Row
from jacengine.report.formatting import TIMES, truncated
from jacengine.report.ranking import BASELINE, WRONG, Ranking

WIDTH = 430
"""The width of a figure in CSS pixels; the page scales it."""
FONT = 12.0
LETTERS = 22
"""The length at which names are truncated."""
FACTOR_FORMAT = f"{{x:,.10g}}{TIMES}"
"""The format of a tick that is a factor."""

_VARIABLES = (
    *("ink", "muted", "line", "bar", "accent"),
    *("baseline", "bad", "library", "second"),
)
_PLACEHOLDERS = {name: f"#0{i:x}0b0d" for i, name in enumerate(_VARIABLES, start=1)}
"""The colour drawn for each CSS variable."""

_REMOVED = re.compile(
    r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->"
    r'| id="(?:figure|axes|patch|line2d|text|xtick|ytick|matplotlib|PathCollection'
    r'|LineCollection|legend)[\w.]*"| transform="rotate\(-0 [^"]*\)"',
    re.DOTALL,
)


def colour(name: str) -> str:
    """Return the placeholder of a CSS variable, to draw with."""
    return _PLACEHOLDERS[name]


STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelcolor": colour("muted"),
    "axes.labelpad": 8,
    "axes.spines.bottom": False,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": colour("muted"),
    "axes.titlelocation": "left",
    "axes.titlesize": FONT,
    "font.family": "DejaVu Sans",
    "font.size": FONT,
    "grid.color": colour("line"),
    "grid.linewidth": 1,
    "legend.frameon": False,
    "text.color": colour("ink"),
    "text.parse_math": False,
    "text.usetex": False,
    "xtick.labelcolor": colour("muted"),
    "ytick.labelcolor": colour("muted"),
    "xtick.major.pad": 6,
    "xtick.major.size": 0,
    "ytick.major.pad": 6,
    "ytick.major.size": 0,
}
"""Settings of matplotlib, in which every figure is created."""


def new_axes(height: float, *, left: float, right: float, top: float = 8) -> Axes:
    """Create a figure with one pair of axes, its margins in pixels."""
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
    bottom = 44
    figure.subplots_adjust(
        left / WIDTH, bottom / height, 1 - right / WIDTH, 1 - top / height
    )
    return figure.add_subplot()


def log_axis(
    axes: Axes,
    name: Literal["x", "y"],
    limits: tuple[float, float],
    formatter: Formatter | str,
) -> None:
    """Make an axis logarithmic, with a few round ticks between its limits."""
    axis = axes.xaxis if name == "x" else axes.yaxis
    axes.set(**{f"{name}scale": "log", f"{name}lim": limits})
    axis.set_major_locator(few_ticks(*limits))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(formatter)


def few_ticks(low: float, high: float) -> Locator:
    """Choose at most five round ticks by how far apart the limits are."""
    if high < 8 * low:
        return MaxNLocator(4, steps=[1, 2, 5, 10])
    subs = (1, 2, 5) if high < 40 * low else (1, 3) if high < 100 * low else (1,)
    return LogLocator(subs=subs, numticks=4 if high < 1e6 * low else 3)


def log_limits(values: Sequence[float]) -> tuple[float, float]:
    """Return limits a little beyond the values, at least a factor of 4 apart."""
    low, high = min(values), max(values)
    margin = max((high / low) ** 0.1, 1.25, 2 / (high / low) ** 0.5)
    return low / margin, high * margin


def row_colour(ranking: Ranking, row: Row) -> str:
    """Choose a row's colour by its result, or else by its kind."""
    if row.outcome in WRONG:
        return colour("bad")
    if row is ranking.winner:
        return colour("accent")
    if row.kind == "auto":
        return colour("ink")
    if row.strategy == BASELINE:
        return colour("baseline")
    return colour("library" if row.kind == "library" else "bar")


def row_labels(ranking: Ranking, rows: Sequence[Row]) -> list[str]:
    """Name rows; those of one strategy are distinguished by their chunk sizes."""
    names = [row.strategy for row in ranking.rows]
    return [
        truncated(row.strategy, LETTERS)
        if names.count(row.strategy) == 1
        else f"{truncated(row.strategy, LETTERS - 6)} /{row.chunk_size}"
        for row in rows
    ]


def inline_svg(axes: Axes, *, label: str, salt: str) -> Markup:
    """Convert a figure to an `<svg>` element without size, colours or addresses.

    Args:
        axes: The axes of the figure; one point is a CSS pixel.
        label: The description for readers who do not see the figure.
        salt: Distinguishes its ids from those of other figures of the page.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    buffer = io.StringIO()
    with (
        mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    drawn = buffer.getvalue()
    drawn = _REMOVED.sub("", drawn[drawn.index("<svg") :])
    box = re.search(r'viewBox="[^"]*"', drawn)
    opened = f'<svg {box[0] if box else ""} role="img" aria-label="{escape(label)}">'
    body = re.sub(r"<[^>]*>", _restyled, drawn[drawn.index(">") + 1 :])
    # Matplotlib has escaped the text of the body, and `escape` the label.
    return Markup(re.sub(r"\s*\n\s*", "\n", opened + body).strip())  # noqa: S704


def _restyled(tag: re.Match[str]) -> str:
    """Remove the font's name from a tag, and insert the CSS variables."""
    text = re.sub(r"font-family: [^;\"]*;? ?", "", tag[0])
    for name, value in _PLACEHOLDERS.items():
        text = text.replace(value, f"var(--{name})")
    return text
