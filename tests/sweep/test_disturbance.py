"""What others took of the processors, and what was our own doing."""

import subprocess
import sys

import pytest

from jacengine.sweep import disturbance
from jacengine.sweep.disturbance import Disturbance

BUSY = (
    "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: 0"
)


def _work() -> None:
    subprocess.run([sys.executable, "-c", BUSY], check=True)


def test_what_was_started_here_is_no_disturbance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As if nobody else ran: all that the processors do is the work that was started.
    took = {"s": 0.0}
    monkeypatch.setattr(disturbance, "_busy", lambda: took["s"])
    watched = Disturbance()
    before = disturbance._own()
    _work()
    took["s"] = disturbance._own() - before
    assert took["s"] >= 0.3
    assert watched.share() == pytest.approx(0.0, abs=0.01)


def test_what_others_took(monkeypatch: pytest.MonkeyPatch) -> None:
    took = {"s": 0.0}
    monkeypatch.setattr(disturbance, "_busy", lambda: took["s"])
    watched = Disturbance()
    took["s"] = 1e6
    assert watched.share() == 1.0
