"""Tables of figures for terminals: no width loses a unit or a column.

Where a table is wider than the terminal, its notes go on lines below it. Where the
figures alone are wider, each row becomes a paragraph.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.text import Text

WIDTH = 110
"""Characters of a line where neither a terminal nor `COLUMNS` says how many."""
TEXT_WIDTH, NOTES_WIDTH = 16, 40
"""Characters that a column of texts is wrapped to at most, and one of notes."""
_GAP = "  "


def piped_width() -> int | None:
    """Return the width of output to no terminal; `None`: rich takes it of `COLUMNS`."""
    return None if os.environ.get("COLUMNS", "").isdigit() else WIDTH


@dataclass(frozen=True)
class Table:
    """Rows of text, printed by rich in the layout that fits into its console.

    Attributes:
        titles: The titles of the columns; the first cell of a row names it.
        rows: The cells of each row.
        numbers: Titles of columns that are aligned right and never wrapped.
        styles: The style of each row; if empty, none.
        notes: The title of the last column, if that holds notes.
    """

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[str] = ()
    styles: Sequence[str] = ()
    notes: str | None = None

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Draw the table, the table and its notes, or paragraphs."""
        width = options.max_width
        full = [
            max(map(_cells, [title, *(row[i] for row in self.rows)]))
            for i, title in enumerate(self.titles)
        ]
        figures = full[: self._figure_count]
        least = [
            size if title in self.numbers else min(size, TEXT_WIDTH)
            for title, size in zip(self.titles, figures, strict=False)
        ]
        # Words whole if that fits, such as names.
        whole = [
            max([size, *(_longest_word(row[i]) for row in self.rows)])
            for i, size in enumerate(least)
        ]
        noted = [*figures, *(min(size, NOTES_WIDTH) for size in full[len(figures) :])]
        if self.notes and (widths := _fitted(full, noted, width)):
            yield self._grid(widths)
        elif widths := (
            _fitted(figures, whole, width) or _fitted(figures, least, width)
        ):
            if not self.rows or any(map(self._has_figures, self.rows)):
                yield self._grid(widths)
            yield from self._notes_below(console)
        else:
            yield from self._paragraphs(console, width)

    @property
    def _figure_count(self) -> int:
        return len(self.titles) - (self.notes is not None)

    def _has_figures(self, row: Sequence[str]) -> bool:
        """Whether a row says something without its note, besides its name."""
        return any(row[1 : self._figure_count]) or not (self.notes and row[-1])

    def _style(self, number: int) -> str:
        return self.styles[number] if self.styles else ""

    def _grid(self, widths: Sequence[int]) -> RenderableType:
        """Draw as many columns as there are widths."""
        from rich.table import Table as Grid  # noqa: PLC0415 - slow to import
        from rich.text import Text  # noqa: PLC0415

        grid = Grid(box=None, header_style="bold", pad_edge=False)
        for title, width in zip(self.titles, widths, strict=False):
            grid.add_column(
                title,
                justify="right" if title in self.numbers else "left",
                width=width,
                overflow="fold",
            )
        for number, row in enumerate(self.rows):
            if len(widths) == len(row) or self._has_figures(row):
                cells = map(Text, row[: len(widths)])
                grid.add_row(*cells, style=self._style(number))
        return grid

    def _notes_below(self, console: Console) -> Iterator[Text]:
        """Write each note once, after the names of the rows that it belongs to."""
        if self.notes is None:
            return
        times = Counter(row[0] for row in self.rows)
        belong: dict[tuple[str, str], list[str]] = {}
        for number, row in enumerate(self.rows):
            more = f" ({self.titles[1]} {row[1]})" if times[row[0]] > 1 else ""
            if row[-1]:
                key = row[-1], self._style(number)
                belong.setdefault(key, []).append(row[0] + more)
        for (note, style), names in belong.items():
            yield hanging(f"{', '.join(names)}: {note}", style, console)

    def _paragraphs(self, console: Console, width: int) -> Iterator[Text]:
        """Write each row as its name, a line of numbers, and a line for each text."""
        from rich.text import Text  # noqa: PLC0415 - slow to import

        for number, row in enumerate(self.rows):
            style, figures, texts = self._style(number), list[str](), list[str]()
            for title, cell in zip(self.titles[1:], row[1:], strict=True):
                if title in self.numbers:
                    figures += [f"{title} {cell}"] if cell else []
                elif cell:
                    texts.append(cell if title == self.notes else f"{title}: {cell}")
            yield Text(row[0], style, overflow="fold")
            for line in _lines(figures, width - len(_GAP)):
                yield Text(_GAP + line, style, overflow="fold")
            for text in texts:
                yield hanging(_GAP + text, style, console)


def hanging(text: str, style: str, console: Console) -> Text:
    """Wrap a text between words, further lines indented by more than the first."""
    from rich.text import Text  # noqa: PLC0415 - slow to import

    before = " " * (len(text) - len(text.lstrip()))
    indent = before + _GAP
    width = max(console.width - len(indent), TEXT_WIDTH // 2)
    wrapped = Text(text.strip(), overflow="fold").wrap(console, width)
    lines = (line.plain.rstrip() for line in wrapped)
    return Text(before + f"\n{indent}".join(lines), style)


def _cells(text: str) -> int:
    """Return the width of the longest line of a text in a terminal."""
    from rich.cells import cell_len  # noqa: PLC0415 - slow to import

    return max(map(cell_len, text.splitlines()), default=0)


def _longest_word(text: str) -> int:
    return max(map(_cells, text.split()), default=0)


def _fitted(full: Sequence[int], least: Sequence[int], width: int) -> list[int] | None:
    """Narrow the widest columns until all fit; `None` if they do not."""
    room = width - len(_GAP) * (len(full) - 1)
    if sum(least) > room:
        return None
    widths = list(full)
    while sum(widths) > room:
        narrower = (i for i in range(len(widths)) if widths[i] > least[i])
        widths[max(narrower, key=widths.__getitem__)] -= 1
    return widths


def _lines(items: Iterable[str], width: int) -> Iterator[str]:
    """Join items by commas into lines, none of which is broken."""
    line = ""
    for item in items:
        joined = f"{line}, {item}" if line else item
        if line and _cells(joined) >= width:
            yield f"{line},"
            joined = item
        line = joined
    if line:
        yield line
