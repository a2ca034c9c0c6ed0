"""What others took of the processors, and what was our own doing."""

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
def test_what_was_started_here_is_no_disturbance(
    then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if nobody else ran: all that the processors do is what the child does.
    took = {"s": 0.0}
    monkeypatch.setattr(system_load, "_total_seconds", lambda: took["s"])
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
        took["s"] = 0.3
        elapsed = time.monotonic() - load._started
        wrong = 0.3 / (elapsed * (psutil.cpu_count() or 1))
        assert load.share() < 0.1 * wrong
        child.communicate(b"\n")


def test_what_others_took(monkeypatch: pytest.MonkeyPatch) -> None:
    took = {"s": 0.0}
    monkeypatch.setattr(system_load, "_total_seconds", lambda: took["s"])
    load = SystemLoad()
    took["s"] = 1e6
    assert load.share() == 1.0
