"""The examples of SciPy's solvers run, and find what they should."""

import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_least_squares(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "scipy_least_squares.py"), run_name="__main__")
    said = capsys.readouterr().out
    fits = re.findall(r"([\d.]+) \+- ([\d.]+) \(true ([\d.]+)\)", said)
    assert len(fits) == 8
    for fitted, error, true in fits:
        assert abs(float(fitted) - float(true)) < 4 * float(error)
    exact, numeric = map(int, re.findall(r"(\d+) evaluations of f", said))
    assert exact < numeric / 4
    assert "1999 x 1000, 2998 nonzeros, 2 directions" in said
    noisy, fitted = map(float, re.findall(r"square error ([\d.]+)", said))
    assert fitted < noisy / 3


def test_stiff_equations(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "stiff_scipy.py"), run_name="__main__")
    said = capsys.readouterr().out
    counts = list(map(int, re.findall(r"(\d+) evaluations of f", said)))
    assert counts[0] < counts[1]
    assert counts[2] < counts[3]
    assert "Brusselator: 200 equations, 796 nonzeros of J" in said
    assert "4 directions" in said
    differences = list(map(float, re.findall(r"at the end: (\S+)", said)))
    assert len(differences) == 2
    assert max(differences) < 1e-4
