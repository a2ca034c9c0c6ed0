"""The figure of a Jacobian: pixels, the borders of blocks, and their names.

A pixel of a Jacobian too large for the screen keeps its largest entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d

from jacengine.plotting.blocks import Block, BlockMatrix

MAX_PIXELS = 1024
"""The most pixels along one side."""
_SPARSE = 0.9
_QUANTILE = 0.995
_OUTLIER = 2.0
_WIDTH, _MIN_HEIGHT, _MAX_HEIGHT = 7.0, 3.0, 8.0
"""The size of a figure, in inches."""
_TIMES = "\N{MULTIPLICATION SIGN}"
_INK = "#1d1c1a"
_FAINT = "#8a877f"
_NONFINITE = "#ffd400"
_NARROW = 0.02
"""Outputs below this share of the height have no name, samples no border."""
_NEAR, _WIDE = 0.045, 0.25
"""Shares of the width: nearer names are omitted; those of wider blocks are flat."""
_MAX_TICKS = 10
_LETTERS = 28


@dataclass(frozen=True)
class Pixels:
    """A downsampled matrix.

    Attributes:
        values: The entry of largest magnitude in each pixel.
        zeros: The share of entries that are exactly zero.
        nonfinite: The number of entries that are not finite.
        limit: The magnitude at which the colour map ends.
        clipped: Whether some entries exceed it.
    """

    values: Tensor
    zeros: float
    nonfinite: int
    limit: float
    clipped: bool


def downsample(matrix: Tensor, most: int = MAX_PIXELS) -> Pixels:
    """Pool a matrix to at most `most` pixels a side.

    The limit of the colour map is a high quantile of the magnitudes if a few entries
    are far larger than the others, or else their maximum.
    """
    zeros = 1.0 - torch.count_nonzero(matrix).item() / matrix.numel()
    values, nonfinite = _pooled(matrix, most), 0
    if not torch.isfinite(values).all():
        finite = torch.isfinite(matrix)
        nonfinite = matrix.numel() - int(finite.sum())
        hidden = _pooled((~finite).to(matrix.dtype), most) > 0
        values = values.masked_fill(hidden, torch.nan)
    sizes = values[torch.isfinite(values) & (values != 0)].abs()
    largest = float(sizes.max()) if len(sizes) else 1.0
    usual = float(torch.quantile(sizes, _QUANTILE)) if len(sizes) else 1.0
    clipped = largest > _OUTLIER * usual
    return Pixels(values, zeros, nonfinite, usual if clipped else largest, clipped)


def _pooled(matrix: Tensor, most: int) -> Tensor:
    """Take the entry of largest magnitude, with its sign, of each pixel."""
    rows, columns = matrix.shape
    size = min(rows, most), min(columns, most)
    if size == (rows, columns):
        return matrix
    highest = adaptive_max_pool2d(matrix[None], size)[0]
    lowest = adaptive_max_pool2d(-matrix[None], size)[0]
    return torch.where(highest >= lowest, highest, -lowest)


def draw(blocks: BlockMatrix, *, sparse: bool | Literal["auto"], title: str) -> Figure:
    """Draw a Jacobian, or its sparsity pattern."""
    pixels = downsample(blocks.matrix)
    pattern = pixels.zeros > _SPARSE if sparse == "auto" else sparse
    rows, columns = blocks.matrix.shape
    height = min(max(_WIDTH * rows / columns, _MIN_HEIGHT), _MAX_HEIGHT)
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    _draw_pixels(axes, pixels, (0, columns, rows, 0), pattern=pattern)
    _draw_columns(axes, blocks.columns, columns)
    _draw_rows(axes, blocks, rows)
    axes.spines[:].set_color(_FAINT)
    axes.tick_params(length=2, color=_FAINT, labelsize=8)
    axes.set_xlabel(_caption(pixels, rows, columns), fontsize=8, color=_FAINT)
    if title:
        figure.suptitle(title, parse_math=False)
    return figure


def _draw_pixels(
    axes: Axes,
    pixels: Pixels,
    extent: tuple[int, int, int, int],
    *,
    pattern: bool,
) -> None:
    colours: Colormap = ListedColormap(["white", _INK])
    if not pattern:
        colours = colormaps["RdBu_r"].with_extremes(bad=_NONFINITE)
    image = axes.imshow(
        (pixels.values != 0 if pattern else pixels.values).numpy(),
        cmap=colours,
        vmin=0 if pattern else -pixels.limit,
        vmax=1 if pattern else pixels.limit,
        extent=extent,
        aspect="auto",
        interpolation="nearest",
    )
    figure = axes.get_figure(root=True)
    if not pattern and figure is not None:
        extend = "both" if pixels.clipped else "neither"
        bar = figure.colorbar(image, ax=axes, extend=extend, fraction=0.04, pad=0.02)
        bar.outline.set_visible(False)


def _draw_columns(axes: Axes, blocks: Sequence[Block], total: int) -> None:
    """Mark the inputs or parameters, and name them above."""
    ends = list(accumulate(block.size for block in blocks))
    for end in ends[:-1]:
        axes.axvline(end, color=_INK, linewidth=0.8)
    axes.xaxis.tick_top()
    if not any(block.name for block in blocks):
        axes.xaxis.set_label_position("bottom")
        axes.set_title(_title("input", blocks[0]), fontsize=9, loc="left", color=_INK)
        return
    ticks: dict[float, str] = {}
    for block, end in zip(blocks, ends, strict=True):
        center = end - block.size / 2
        if not ticks or center - max(ticks) >= _NEAR * total:
            ticks[center] = _title(block.name, block)
    horizontal = all(block.size >= _WIDE * total for block in blocks)
    axes.set_xticks(
        list(ticks),
        list(ticks.values()),
        rotation=0 if horizontal else 35,
        ha="center" if horizontal else "left",
        rotation_mode="anchor",
        parse_math=False,
    )


def _draw_rows(axes: Axes, blocks: BlockMatrix, total: int) -> None:
    """Mark outputs and samples, and name them at the left."""
    samples = blocks.samples or 1
    ticks: dict[float, str] = {}
    start = 0
    for block in blocks.rows:
        end = start + block.size * samples
        if end < total:
            axes.axhline(end, color=_INK, linewidth=0.8)
        if block.size >= _NARROW * total / 2:
            for border in range(start + block.size, end, block.size):
                axes.axhline(border, color=_FAINT, linewidth=0.5)
        if len(blocks.rows) > 1 and end - start >= _NARROW * total:
            ticks[(start + end) / 2] = _title(block.name, block)
        start = end
    if len(blocks.rows) == 1 and blocks.samples is not None:
        for sample in range(0, samples, -(-samples // _MAX_TICKS)):
            ticks[(sample + 0.5) * blocks.rows[0].size] = str(sample)
    if ticks:
        axes.set_yticks(list(ticks), list(ticks.values()), parse_math=False)
    several = len(blocks.rows) > 1
    label = "outputs" if several else _title("output", blocks.rows[0])
    prefix = "" if blocks.samples is None else "samples of "
    axes.set_ylabel(f"{prefix}{label}", fontsize=9)


def _title(name: str, block: Block) -> str:
    """Name a block with its shape: `0.weight (5x7)`."""
    short = name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"
    shape = _TIMES.join(map(str, block.shape))
    return f"{short} ({shape})" if shape else short


def _caption(pixels: Pixels, rows: int, columns: int) -> str:
    """State what the pixels do not show."""
    parts = [f"{rows:,} {_TIMES} {columns:,}"]
    if pixels.zeros:
        # Only if all entries are zero, their share is rounded to 100 %.
        share = f"{min(100 * pixels.zeros, 99.9):.1f} %" if pixels.zeros < 1 else "all"
        parts.append(f"{share} exactly zero")
    if tuple(pixels.values.shape) != (rows, columns):
        parts.append("each pixel shows its entry of largest magnitude")
    if pixels.nonfinite:
        noun = "entry is" if pixels.nonfinite == 1 else "entries are"
        parts.append(f"{pixels.nonfinite:,} {noun} not finite (yellow)")
    return ", ".join(parts)
