import re
from dataclasses import replace
from pathlib import Path

from jacengine.report import Row, write_report
from jacengine.report.case import sanitize
from tests.report.build import HOSTILE, case, hostile, report


def test_folders_are_redacted(tmp_path: Path) -> None:
    places = [
        str(Path.home() / "secret" / "file.py"),
        str(Path.cwd() / "secret" / "file.py"),
        "/home/somebody/secret/file.py",
        "/Users/some body/secret/file.py",
        "C:\\Users\\some body\\secret\\file.py",
        "~/somebody/secret/file.py",
        "file:///home/somebody/secret/file.py",
    ]
    for place in places:
        row = Row(place, "error", f"raised in '{place}', line 3")
        found = replace(case(place, row), failure=place, description=place)
        command = f"python -m example --out={place}"
        write_report(replace(report(found), command=command), tmp_path)
        for path in tmp_path.iterdir():
            text = path.read_text(encoding="utf-8")
            assert "file.py" in text.replace("\\", "").replace("<wbr>", "")
            assert not re.search(r"secret|some ?body|Users|/home/", text), place


def test_addresses_and_fractions_are_not_redacted() -> None:
    for text in ("see https://example.org/a/b", "1/2 of a/b", "fwd/bwd/loss"):
        found = sanitize(report(replace(case("a"), failure=text))).cases[0]
        assert found.failure == text


def test_hostile_names_become_single_lines() -> None:
    shown = sanitize(hostile())

    for found in shown.cases:
        assert found.name
        assert found.name.isprintable()
    assert len({found.name for found in shown.cases}) > len(HOSTILE) - 3
