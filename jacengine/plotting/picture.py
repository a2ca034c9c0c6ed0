"""The picture itself: pixels, the borders of blocks, and their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from jacengine.plotting.blocks import Block, Blocks
from jacengine.plotting.pixels import Pixels

_WIDTH, _LEAST, _MOST = 7.0, 3.0, 8.0
"""The width of a figure and the bounds of its height, in inches."""
_TIMES = "\N{MULTIPLICATION SIGN}"
_INK = "#1d1c1a"
_FAINT = "#8a877f"
_ODD = "#ffd400"
_NARROW = 0.02
"""Outputs below this share of the height have no name, samples no border."""
_NEAR, _ROOMY = 0.045, 0.25
"""Names nearer than this share of the width are left out; with this, they lie flat."""
_MOST_TICKS = 10
_LETTERS = 28


def picture(blocks: Blocks, shown: Pixels, *, sparse: bool, title: str) -> Figure:
    """Draw a Jacobian."""
    rows = sum(block.size for block in blocks.rows) * (blocks.samples or 1)
    columns = sum(block.size for block in blocks.columns)
    height = min(max(_WIDTH * rows / columns, _LEAST), _MOST)
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    _pixels(figure, axes, shown, (0, columns, rows, 0), sparse=sparse)
    _columns(axes, blocks.columns, columns)
    _rows(axes, blocks, rows)
    for side in axes.spines.values():
        side.set_color(_FAINT)
    axes.set_xlabel(_told(shown, rows, columns), fontsize=8, color=_FAINT)
    if title:
        figure.suptitle(title, parse_math=False)
    return figure


def _pixels(
    figure: Figure,
    axes: Axes,
    shown: Pixels,
    extent: tuple[int, int, int, int],
    *,
    sparse: bool,
) -> None:
    if sparse:
        axes.imshow(
            (shown.values != 0).numpy(),
            cmap=ListedColormap(["white", _INK]),
            vmin=0,
            vmax=1,
            extent=extent,
            aspect="auto",
            interpolation="nearest",
        )
        return
    drawn = axes.imshow(
        shown.values.numpy(),
        cmap=colormaps["RdBu_r"].with_extremes(bad=_ODD),
        vmin=-shown.limit,
        vmax=shown.limit,
        extent=extent,
        aspect="auto",
        interpolation="nearest",
    )
    extend = "both" if shown.clipped else "neither"
    bar = figure.colorbar(drawn, ax=axes, extend=extend, fraction=0.04, pad=0.02)
    bar.outline.set_visible(False)


def _columns(axes: Axes, blocks: Sequence[Block], total: int) -> None:
    """Mark the inputs or parameters, and name them above."""
    ends = list(accumulate(block.size for block in blocks))
    for end in ends[:-1]:
        axes.axvline(end, color=_INK, linewidth=0.8)
    axes.xaxis.tick_top()
    if not any(block.name for block in blocks):
        axes.xaxis.set_label_position("bottom")
        axes.set_title(_size("input", blocks[0]), fontsize=9, loc="left", color=_INK)
        return
    places, names = _spaced(blocks, ends)
    flat = all(block.size >= _ROOMY * total for block in blocks)
    axes.set_xticks(places)
    axes.set_xticklabels(
        names,
        rotation=0 if flat else 35,
        ha="center" if flat else "left",
        rotation_mode="anchor",
        fontsize=8,
        parse_math=False,
    )
    axes.tick_params(axis="x", length=2, color=_FAINT)


def _spaced(
    blocks: Sequence[Block], ends: Sequence[int]
) -> tuple[list[float], list[str]]:
    """Choose the blocks with names, none too near to the one before it."""
    places: list[float] = []
    names: list[str] = []
    for block, end in zip(blocks, ends, strict=True):
        place = end - block.size / 2
        if not places or place - places[-1] >= _NEAR * ends[-1]:
            places.append(place)
            names.append(_size(block.name, block))
    return places, names


def _rows(axes: Axes, blocks: Blocks, total: int) -> None:
    """Mark outputs and samples, and name them at the left."""
    ends = list(accumulate(block.size * (blocks.samples or 1) for block in blocks.rows))
    for end in ends[:-1]:
        axes.axhline(end, color=_INK, linewidth=0.8)
    for block, end in zip(blocks.rows, ends, strict=True):
        if blocks.samples is not None and block.size >= _NARROW * total / 2:
            start = end - block.size * blocks.samples
            for sample in range(1, blocks.samples):
                axes.axhline(start + sample * block.size, color=_FAINT, linewidth=0.5)
    ticks = list(_row_ticks(blocks, ends))
    if ticks:
        axes.set_yticks([place for place, _ in ticks])
        axes.set_yticklabels([text for _, text in ticks], fontsize=8, parse_math=False)
        axes.tick_params(axis="y", length=2, color=_FAINT)
    kind = _size("output", blocks.rows[0]) if len(blocks.rows) == 1 else "outputs"
    axes.set_ylabel(
        kind if blocks.samples is None else f"samples of {kind}", fontsize=9
    )


def _row_ticks(blocks: Blocks, ends: Sequence[int]) -> Iterator[tuple[float, str]]:
    """Yield where outputs, or the samples of a single one, have their names."""
    samples = blocks.samples or 1
    several = len(blocks.rows) > 1
    for block, end in zip(blocks.rows, ends, strict=True):
        start = end - block.size * samples
        if several and end - start >= _NARROW * ends[-1]:
            yield (start + end) / 2, _size(block.name, block)
        elif not several and blocks.samples is not None:
            for sample in range(0, samples, -(-samples // _MOST_TICKS)):
                yield (sample + 0.5) * block.size, str(sample)


def _size(name: str, block: Block) -> str:
    """Name a block with its shape: `0.weight (5x7)`."""
    short = name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"
    shape = _TIMES.join(map(str, block.shape))
    return f"{short} ({shape})" if shape else short


def _told(shown: Pixels, rows: int, columns: int) -> str:
    """Say what the picture does not show."""
    said = [f"{rows:,} {_TIMES} {columns:,}"]
    if shown.zeros:
        said.append(f"{_share(shown.zeros)} exactly zero")
    if tuple(shown.values.shape) != (rows, columns):
        said.append("each pixel shows its entry of largest magnitude")
    if shown.odd:
        noun = "entry is" if shown.odd == 1 else "entries are"
        said.append(f"{shown.odd:,} {noun} not finite (yellow)")
    return ", ".join(said)


def _share(share: float) -> str:
    """Write a share so that only all is 100 %."""
    return "all" if share == 1 else f"{min(100 * share, 99.9):.1f} %"
