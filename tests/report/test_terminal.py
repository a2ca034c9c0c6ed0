import io

import pytest
from rich.console import Console

from jacengine.report import summary_table
from jacengine.report.formatting import seconds, size
from jacengine.report.terminal import print_case, regret_table
from tests.report.build import HOSTILE, example, hostile
from tests.test_tables import WIDTHS


def drawn(*, color: bool = False) -> str:
    buffer = io.StringIO()
    console = Console(file=buffer, width=140, force_terminal=color)
    console.print(summary_table(hostile().cases))
    return buffer.getvalue()


def test_the_table_tells_who_won() -> None:
    buffer = io.StringIO()
    Console(file=buffer, width=140).print(summary_table(example().cases))
    lines = [line.split() for line in buffer.getvalue().splitlines()]

    assert lines[1][:4] == ["first", "fast", "1", "ms"]
    assert lines[2][:2] == ["second", "fast"]
    assert lines[3][:2] == ["third", "picky"]
    assert "2 correct, 1 wrong, 1 unsupported" in buffer.getvalue()


def test_hostile_names_are_shown_as_they_are() -> None:
    text = drawn()

    for name in HOSTILE:
        if name.isprintable() and 0 < len(name) < 40:
            assert name in text


def test_hostile_names_control_no_terminal() -> None:
    assert not [char for char in drawn() if not char.isprintable() and char != "\n"]
    assert "\x1b[31mred" not in drawn(color=True)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_width_loses_a_figure(width: int) -> None:
    buffer = io.StringIO()
    console = Console(file=buffer, width=width)
    for case in example().cases:
        print_case(case, console)
    console.print(summary_table(example().cases))
    console.print(regret_table(example().cases))
    lines = buffer.getvalue().splitlines()

    assert max(map(len, lines)) <= width
    for row in (row for case in example().cases for row in case.rows):
        if row.outcome == "ok":
            assert any(seconds(row.time_s) in line for line in lines)
            assert any(size(row.memory_bytes) in line for line in lines)
    text = " ".join(lines)
    for title in ("of best", "runner-up", "plain loop", "/ library", "chosen in"):
        assert title in " ".join(text.split())
