import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_quickstart_prints_what_it_should(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "quickstart.py"))

    expected = (EXAMPLES / "quickstart.txt").read_text(encoding="utf-8")
    assert capsys.readouterr().out.startswith(expected)
