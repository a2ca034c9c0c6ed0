"""Ctrl-C and `kill -9`, on real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from jacengine.sweep.journal import FILE, read_journal

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
BEGUN_S = 0.3
"""From the first line of a journal until the first case has surely begun; it takes
much longer."""
OPTIONS = (
    "--catalogue",
    "tests.sweep.fakes:SLOW",
    "--no-peers",
    "--strategies",
    "vmap_vjp",
    "--threads",
    "1",
)


@contextmanager
def sweeping(*arguments: str) -> Generator[subprocess.Popen[str]]:
    """Start a sweep as a shell does."""
    command = [sys.executable, "-m", "jacengine", "bench", *arguments]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "JACENGINE_CACHE_DIR": ""},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_lines(folder: Path, count: int) -> None:
    """Wait until a journal has so many lines."""
    path = folder / FILE
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.05)
    raise AssertionError("the sweep does not get on")


def names(folder: Path) -> list[str]:
    return [case.name for case in read_journal(folder).cases]


def test_a_killed_sweep_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    with sweeping(*OPTIONS, "--out", str(folder)) as process:
        wait_for_lines(folder, 2)  # what it is, and a case
        [worker] = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGKILL)
        process.wait()
        psutil.wait_procs([worker], timeout=30)
        assert not worker.is_running()
    assert names(folder) == ["one/2/t1"]

    with sweeping(*OPTIONS[:2], "--resume", str(folder)) as process:
        wait_for_lines(folder, 2)
        assert process.stderr is not None
        stderr = process.stderr.read()
        assert process.wait() == 0
    assert "(1/2) two/2/t1" in stderr
    assert names(folder) == ["one/2/t1", "two/2/t1", "three/2/t1"]
    assert (folder / "report.html").exists()


def test_ctrl_c_finishes_the_case(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    with sweeping(*OPTIONS, "--out", str(folder)) as process:
        wait_for_lines(folder, 1)
        time.sleep(BEGUN_S)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        stderr = process.stderr.read()
        assert process.wait() == 130
    assert "Stopping after this case" in stderr
    assert f"jacengine bench --resume {folder}" in stderr
    assert names(folder) == ["one/2/t1"]
    assert (folder / "report.html").exists()


def test_ctrl_c_twice_stops_now(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    with sweeping(*OPTIONS, "--out", str(folder)) as process:
        wait_for_lines(folder, 1)
        time.sleep(BEGUN_S)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "Stopping" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        stderr = process.stderr.read()
        assert process.wait() == 130
    assert "0 of 3 cases are finished" in stderr
    assert names(folder) == []
