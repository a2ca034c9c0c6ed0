"""A matplotlib figure as SVG that lives in a page: its fonts, its colours, its width.

Colours are drawn as stand-ins, one hex value each, and come out as CSS variables, so
that the page's scheme (light, dark, print) is the figure's too. Text stays text.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

_STAND_INS = {
    name: f"#0{index:x}0b0d"
    for index, name in enumerate(
        (
            "ink",
            "muted",
            "line",
            "bar",
            "accent",
            "baseline",
            "bad",
            "library",
            "second",
        ),
        start=1,
    )
}
"""What is drawn for each CSS variable."""

_SETTINGS = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "text.parse_math": False,
    "text.usetex": False,
}

_DISPOSABLE = re.compile(
    r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->"
    r'| id="(?:figure|axes|patch|line2d|text|xtick|ytick|matplotlib|PathCollection'
    r'|LineCollection|legend)[\w.]*"| transform="rotate\(-0 [^"]*\)"',
    re.DOTALL,
)


def colour(name: str) -> str:
    """Return the stand-in for a CSS variable, to draw with."""
    return _STAND_INS[name]


def inline_svg(figure: Figure, *, label: str, salt: str) -> Markup:
    """Turn a figure into an `<svg>` element without size, colours or addresses.

    Args:
        figure: One point of its size is a CSS pixel.
        label: What it shows, for those who do not see it.
        salt: Tells its ids from those of other figures of the page.
    """
    buffer = io.StringIO()
    settings: dict[Any, Any] = {**_SETTINGS, "svg.hashsalt": salt}
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    drawn = buffer.getvalue()
    drawn = _DISPOSABLE.sub("", drawn[drawn.index("<svg") :])
    box = re.search(r'viewBox="[^"]*"', drawn)
    opened = f'<svg {box[0] if box else ""} role="img" aria-label="{escape(label)}">'
    body = re.sub(r"<[^>]*>", _restyled, drawn[drawn.index(">") + 1 :])
    # The text in it was escaped by matplotlib, the label just now.
    return Markup(re.sub(r"\s*\n\s*", "\n", opened + body).strip())  # noqa: S704


def _restyled(tag: re.Match[str]) -> str:
    """Take the font's name from a tag, and give it the page's colours."""
    text = re.sub(r"font-family: [^;\"]*;? ?", "", tag[0])
    for name, value in _STAND_INS.items():
        text = text.replace(value, f"var(--{name})")
    return text
