"""Matplotlib figures as SVG within a page, in its fonts, colours and width.

Colours are drawn as placeholders, one hex value each, and become CSS variables, so that
the page's scheme (light, dark, print) applies to the figure too. Text remains text.
"""

from __future__ import annotations

import io
import re
import warnings

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes

_VARIABLES = (
    *("ink", "muted", "line", "bar", "accent"),
    *("baseline", "bad", "library", "second"),
)
_PLACEHOLDERS = {
    name: f"#0{number:x}0b0d" for number, name in enumerate(_VARIABLES, start=1)
}
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
