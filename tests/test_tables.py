"""Tables at every width: nothing is lost, nothing is wider than the terminal."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from jacengine.tables import NOTES_WIDTH, WIDTH, Table, hanging, piped_width

WIDTHS = (40, 60, 72, 80, 100, 110, 120, 200)
TITLES = ("method", "time", "peak", "direction", "notes")
ROWS = [
    ("vmap_vjp", "7.82 ms", "229.3 kB", "reverse", ""),
    ("vmap_jvp", "12.1 ms", "1.3 MB", "forward", "two samples at a time " * 3),
    ("forward_dual", "", "", "", "skipped: not tried yet, a race tries it later"),
    ("elimination", "", "", "", "skipped: not tried yet, a race tries it later"),
]
TABLE = Table(TITLES, ROWS, ("time", "peak"), notes="notes")


def drawn(table: object, width: int, *, color: bool = False) -> list[str]:
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, force_terminal=color)
    console.print(table)
    return [line.rstrip() for line in buffer.getvalue().splitlines()]


@pytest.mark.parametrize("width", WIDTHS)
def test_no_width_loses_anything(width: int) -> None:
    lines = drawn(TABLE, width)
    words = " ".join(lines).replace(",", " ").replace(":", " ").split()

    assert max(map(len, lines)) <= width
    for row in ROWS:
        assert any(row[0] in line for line in lines)
        figures = [cell for cell in row[1:3] if cell]
        for figure in figures:  # with its unit, on a line
            assert any(figure in line for line in lines), figure
    for title in TITLES[:4]:
        assert title in words or title == "method"  # it is the name of a paragraph
    assert {"two", "samples", "tried"} <= set(words)


def test_notes_are_beside_the_figures_where_there_is_room() -> None:
    lines = drawn(TABLE, 200)

    assert len(lines) == 1 + len(ROWS)
    assert lines[0].split() == list(TITLES)
    assert lines[1].split() == ["vmap_vjp", "7.82", "ms", "229.3", "kB", "reverse"]


def test_notes_are_below_where_they_would_be_thin() -> None:
    lines = drawn(TABLE, 41 + NOTES_WIDTH)

    assert [line.split()[0] for line in lines[:3]] == ["method", "vmap_vjp", "vmap_jvp"]
    below = "forward_dual, elimination: skipped: not tried yet, a race tries it later"
    assert " ".join(" ".join(lines).split()).endswith(below)  # a row has no figures


def test_rows_of_one_name_are_told_apart_below() -> None:
    rows = [("a", "4", "first" * 9), ("a", "8", "other" * 9), ("b", "8", "")]
    table = Table(("name", "chunk", "notes"), rows, ("chunk",), notes="notes")
    lines = drawn(table, 52)

    assert "a (chunk 4):" in lines
    assert f"  {'first' * 9}" in lines
    assert lines[-2:] == ["a (chunk 8):", f"  {'other' * 9}"]


def test_paragraphs_keep_numbers_with_their_units() -> None:
    assert drawn(TABLE, 24)[:4] == [
        "vmap_vjp",
        "  time 7.82 ms,",
        "  peak 229.3 kB",
        "  direction: reverse",
    ]


def test_names_are_whole_where_another_column_can_be_wrapped() -> None:
    name = "batched_grad_over_grad"
    table = Table(("problem", "best", "all"), [("mlp", name, "one two three " * 9)])
    assert any(name in line for line in drawn(table, 52))


def test_columns_of_texts_are_wrapped() -> None:
    table = Table(("a", "b"), [("x " * 20, "y " * 30)])

    assert all(len(line) <= 60 for line in drawn(table, 52))
    assert drawn(table, 60)[0].split() == ["a", "b"]


def test_cells_are_no_markup_and_wide_characters_count() -> None:
    assert "[bold]x[/]" in drawn(Table(("a",), [("[bold]x[/]",)]), 40)
    table = Table(("a", "b"), [("漢" * 20, "1")], ("b",))
    assert [line for line in drawn(table, 30) if line.strip().endswith("1")]


def test_styles_are_those_of_rows() -> None:
    table = Table(("a", "b"), [("x", "1"), ("y", "2")], ("b",), ("red", ""))
    for width in (40, 3):  # a table, and paragraphs
        text = drawn(table, width, color=True)
        assert any("\x1b[31m" in line and "x" in line for line in text)
        assert not any("\x1b[31m" in line and "y" in line for line in text)


def test_a_table_without_rows_is_its_titles() -> None:
    assert drawn(Table(("a", "b"), []), 40) == ["a  b"]
    assert drawn(Table((), []), 40) == []


cells = st.text(st.characters(codec="ascii", categories=("L", "N")), max_size=30)


@given(st.lists(st.tuples(cells, cells, cells), max_size=4), st.integers(16, 120))
def test_anything_can_be_drawn(rows: list[tuple[str, str, str]], width: int) -> None:
    table = Table(("name", "n", "notes"), rows, ("n",), notes="notes")
    lines = drawn(table, width)

    assert all(len(line) <= width for line in lines)
    if width >= 40:
        for row in rows:
            assert any(row[1] in line for line in lines)


def test_a_hanging_line_keeps_its_words() -> None:
    console = Console(width=20)

    assert hanging("ab: " + "word " * 9, "", console).plain.splitlines() == [
        "ab: word word word",
        *["  word word word"] * 2,
    ]


def test_the_width_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert piped_width() == WIDTH
    monkeypatch.setenv("COLUMNS", "72")
    assert piped_width() is None
