"""The load by other processes, told apart from our own."""

import subprocess
import sys
import time

import psutil
import pytest

from jacengine.sweep import system_load
from jacengine.sweep.system_load import SystemLoad

BUSY = (
    "import time\nend = time.process_time() + 0.3\n"
    "while time.process_time() < end: 0\nprint('done', flush=True)\n{then}"
)


@pytest.mark.parametrize("then", ["", "input()"], ids=["ended", "living"])
def test_child_processes_are_not_others(
    then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if no other process ran: only the child uses the processors.
    used = {"s": 0.0}
    monkeypatch.setattr(system_load, "_total_seconds", lambda: used["s"])
    load = SystemLoad()
    with subprocess.Popen(
        [sys.executable, "-c", BUSY.format(then=then)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"done\n"
        if not then:
            child.wait()
        used["s"] = 0.3
        elapsed = time.monotonic() - load._started
        wrong = 0.3 / (elapsed * (psutil.cpu_count() or 1))
        assert load.share() < 0.1 * wrong
        child.communicate(b"\n")


def test_the_load_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    used = {"s": 0.0}
    monkeypatch.setattr(system_load, "_total_seconds", lambda: used["s"])
    load = SystemLoad()
    used["s"] = 1e6
    assert load.share() == 1.0
