"""Ranks that are timed, and the one process that they are compared with."""

from pathlib import Path

import pytest

from jacengine.bench.processes import medians, processes


@pytest.mark.slow
def test_both_contenders_are_timed(tmp_path: Path) -> None:
    with processes(1, tmp_path) as one, processes(2, tmp_path) as several:
        found = medians((one, several), ("laplace", 4), 2)
    assert len(several) == 2
    assert all(0 < seconds < 60 for seconds in found)
