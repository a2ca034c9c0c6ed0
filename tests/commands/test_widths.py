"""What the commands print fits into every terminal."""

from pathlib import Path

import pytest

from jacengine.commands import doctor
from jacengine.plans import disk_cache
from jacengine.report.formatting import TIMES
from tests.commands.build import FAKES, one, run, saved
from tests.sweep.build import report
from tests.test_tables import WIDTHS

pytestmark = pytest.mark.parametrize("width", WIDTHS)


@pytest.fixture(autouse=True)
def _width(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))


def lines(width: int, *arguments: object) -> list[str]:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    found = result.stdout.splitlines()
    assert found
    assert max(map(len, found)) <= width
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        ("strategies",),
        ("strategies", "--quantity", "hessian"),
        ("strategies", "--peers"),
        ("workloads", *FAKES),
    ],
)
def test_lists(width: int, arguments: tuple[str, ...]) -> None:
    lines(width, *arguments)


def test_doctor(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LOAD_S", 0.0)
    text = " ".join(lines(width, "doctor"))

    assert "of PyTorch on" in " ".join(text.split())


def test_compare(width: int, tmp_path: Path) -> None:
    base = saved(report(one()), tmp_path / "a")
    new = saved(report(one(3.0, memory=5000)), tmp_path / "b")
    text = "\n".join(lines(width, "compare", base, new))

    for figure in ("1 s", "3 s", f"3.00{TIMES}", "2.926 to 3.076", "5.0 kB"):
        assert figure in text, text


def test_cache(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    leaves = "float32[5, 3], " * 5
    entry = disk_cache.Entry("vmap_jvp", "12.3 ms", leaves, "0123456789ab", True)
    monkeypatch.setattr(disk_cache, "described", lambda: iter([entry]))

    text = " ".join(" ".join(lines(width, "cache", "list")).split())
    assert "12.3 ms" in text
    assert "unstable:" in text
