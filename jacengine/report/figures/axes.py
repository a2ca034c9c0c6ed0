"""What the figures of a report share: style, axes, colours, and their SVG.

Colours are drawn as placeholders, one hex value each, and become CSS variables, so that
the page's scheme (light, dark, print) applies to the figure too. Text remains text.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    Formatter,
    FuncFormatter,
    MaxNLocator,
    NullLocator,
)

from jacengine.report.case import Row
from jacengine.report.formatting import TIMES
from jacengine.report.ranking import BASELINE, WRONG, Ranking

WIDTH = 430
"""The width of a figure in CSS pixels; the page scales it."""
FONT = 12.0
LETTERS = 22
"""The length to which names are shortened, where they stay different."""
LETTER_WIDTH = 0.6 * FONT
"""The width of a letter on average, in pixels."""
FACTOR_FORMAT = FuncFormatter(lambda factor, _: f"{_short(factor)}{TIMES}")
"""The format of a tick that is a factor: `0.5x`, `200x`, `10kx`."""

_MOST_TICKS = 5
_HALVES = (1, 2, 5)
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
    axis.set_major_formatter(formatter)
    labels = axis.get_major_formatter()
    box = axes.get_window_extent()

    def fit(ticks: Sequence[float]) -> bool:
        if name == "y":
            return True
        widths = [LETTER_WIDTH * len(text) for text in labels.format_ticks([*ticks])]
        span = math.log(limits[1] / limits[0])
        gaps = [box.width * math.log(b / a) / span for a, b in pairwise(ticks)]
        needed = [(a + b) / 2 + LETTER_WIDTH for a, b in pairwise(widths)]
        return all(gap >= need for gap, need in zip(gaps, needed, strict=True))

    axis.set_major_locator(FixedLocator(log_ticks(*limits, fit)))
    axis.set_minor_locator(NullLocator())


def log_ticks(
    low: float, high: float, fit: Callable[[Sequence[float]], bool] = lambda _: True
) -> list[float]:
    """Choose round ticks between limits: at most five, and as many as fit.

    Args:
        low: The lower limit, ...
        high: ... and the upper one.
        fit: Whether the labels of some ticks do not touch.
    """
    even = [
        MaxNLocator(count, steps=[1, 2, 5, 10]).tick_values(low, high)
        for count in (4, 3, 2, 1)
        if high < 8 * low
    ]
    ticks: list[float] = []
    for choice in (*even, *_decades(low, high)):
        ticks = [tick for tick in choice if low <= tick <= high]
        if 1 <= len(ticks) <= _MOST_TICKS and fit(ticks):
            break
    return ticks


def _decades(low: float, high: float) -> Iterator[list[float]]:
    """Yield ticks that include powers of ten, the densest first."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for subs, step in ((_HALVES, 1), ((1, 3), 1), *(((1,), n) for n in range(1, 99))):
        powers = range(step * (first // step), last + 1, step)
        yield [sub * 10.0**power for power in powers for sub in subs]


def _short(value: float) -> str:
    """Format a round number: `0.5`, `200`, `10k`, `1M`."""
    for limit, prefix in ((1e6, "M"), (1e4, "k")):
        if value >= limit:
            return f"{value / (1e6 if prefix == 'M' else 1e3):,.10g}{prefix}"
    return f"{value:,.10g}"


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
    several = {name for name in names if names.count(name) > 1}
    short = shortened(names)
    return [
        f"{short[row.strategy]} /{row.chunk_size}"
        if row.strategy in several
        else short[row.strategy]
        for row in rows
    ]


def shortened(names: Iterable[str], letters: int = LETTERS) -> dict[str, str]:
    """Shorten names in the middle, to a length at which different ones stay different.

    Where no such length below the longest name exists, names are whole.
    """
    distinct = list(dict.fromkeys(names))
    longest = max(map(len, distinct), default=0)
    for width in range(letters, longest):
        found = {name: _middle(name, width) for name in distinct}
        if len(set(found.values())) == len(distinct):
            return found
    return {name: name for name in distinct}


def _middle(name: str, letters: int) -> str:
    """Replace the middle of a name by an ellipsis."""
    if len(name) <= letters:
        return name
    end = (letters - 1) // 2
    return f"{name[: letters - 1 - end]}…{name[len(name) - end :]}"


def margin(labels: Sequence[str]) -> float:
    """Return the width of the longest label, in pixels, with its distance."""
    return LETTER_WIDTH * max(map(len, labels), default=0) + 12


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
