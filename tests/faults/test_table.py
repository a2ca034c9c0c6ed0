"""The table of faults names tests that exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parent.parent


def test_every_fault_names_a_test() -> None:
    text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    assert len(rows) == 50
    for row in rows:
        last = row.strip("| ").rpartition(" | ")[2]
        if last.startswith("none: "):
            continue
        file, _, name = last.strip("`").partition("::")
        source = (TESTS / file).read_text(encoding="utf-8")
        assert f"def {name or 'test_'}" in source, last
