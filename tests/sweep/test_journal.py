from pathlib import Path

import pytest

from jacengine.errors import ArgumentError
from jacengine.sweep.case_spec import CaseSpec, Settings
from jacengine.sweep.journal import (
    FILE,
    Manifest,
    create_journal,
    read_journal,
    resume_journal,
)
from tests.sweep.build import case, manifest, row

SPECS = (CaseSpec("one", 2), CaseSpec("two", 2), CaseSpec("three", 2))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a journal with two of three cases."""
    with create_journal(tmp_path, manifest(*SPECS)) as writer:
        writer.append(case("two/2", row("vmap_vjp", [1.0, 2.0, 3.0])))
        writer.append(case("one/2", failure="crash"))
    return tmp_path


def test_what_was_written_is_read(folder: Path) -> None:
    journal = read_journal(folder)

    assert journal.manifest == manifest(*SPECS)
    assert [case.name for case in journal.cases] == ["two/2", "one/2"]
    assert journal.cases[0].rows[0].times == (1.0, 2.0, 3.0)
    assert journal.remaining == (SPECS[2],)


def test_the_report_has_the_order_of_the_sweep(folder: Path) -> None:
    report = read_journal(folder).report()

    assert [case.name for case in report.cases] == ["one/2", "two/2"]
    assert report.planned == 3
    assert report.interrupted
    assert (report.fill_rate, report.matmul_rate) == (1e10, 1e11)


def test_settings_are_read_as_they_were() -> None:
    special = Settings(("a", "b"), ("c",), "1GiB", "thorough", False, 3, "m:N")
    made = manifest(settings=special, roofline=None)

    assert Manifest.from_json(made.to_json()) == made


@pytest.mark.parametrize("cut", range(1, 200, 13))
def test_a_torn_last_line_is_dropped(folder: Path, cut: int) -> None:
    path = folder / FILE
    path.write_bytes(path.read_bytes()[:-cut])

    journal = read_journal(folder)

    assert [case.name for case in journal.cases] == ["two/2"]
    assert journal.damaged == 1
    assert journal.remaining == (SPECS[0], SPECS[2])


def test_a_sweep_goes_on_behind_a_torn_line(folder: Path) -> None:
    path = folder / FILE
    path.write_bytes(path.read_bytes()[:-20])

    with resume_journal(folder) as writer:
        writer.append(case("one/2", row("vmap_vjp")))

    journal = read_journal(folder)
    assert [case.name for case in journal.cases] == ["two/2", "one/2"]
    assert journal.cases[1].failure == ""
    assert journal.damaged == 0


def test_a_line_without_its_end_is_written_anew(folder: Path) -> None:
    path = folder / FILE
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))

    with resume_journal(folder) as writer:
        writer.append(case("three/2"))

    assert {case.name for case in read_journal(folder).cases} == {"two/2", "three/2"}


@pytest.mark.parametrize("line", [b"\xff\xfe", b"{}", b"[1]", b'{"schema": 99}', b"x"])
def test_damaged_lines_in_the_middle_are_dropped(folder: Path, line: bytes) -> None:
    path = folder / FILE
    first, second, third, _ = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([first, second, line, third, b""]))

    journal = read_journal(folder)

    assert len(journal.cases) == 2
    assert journal.damaged == 1


@pytest.mark.parametrize("line", ["", "{", "[]", "{}", '{"sweep": 99}', '{"sweep": 1}'])
def test_a_damaged_first_line_is_refused(folder: Path, line: str) -> None:
    (folder / FILE).write_text(line)

    with pytest.raises(ArgumentError, match=r"damaged|layout"):
        read_journal(folder)


def test_a_sweep_is_never_overwritten(folder: Path) -> None:
    before = (folder / FILE).read_bytes()

    with (
        pytest.raises(ArgumentError, match="--resume"),
        create_journal(folder, manifest()),
    ):
        pass

    assert (folder / FILE).read_bytes() == before


def test_there_may_be_none(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="no sweep"):
        read_journal(tmp_path)
