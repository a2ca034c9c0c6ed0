"""What takes longer than a second says so, once."""

import time

import pytest

from jacengine.plans import notice


@pytest.fixture(autouse=True)
def _silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice, "_SAID", set())
    monkeypatch.setattr(notice, "AFTER_S", 0.01)


def _wait(seconds: float) -> None:
    with notice.saying("this takes long."):
        time.sleep(seconds)


def test_what_takes_long_says_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        _wait(0.3)
    assert capsys.readouterr().err == "jacengine: this takes long.\n"


def test_what_is_brief_is_silent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notice, "AFTER_S", 60.0)
    _wait(0.0)
    assert capsys.readouterr().err == ""


def test_without_stderr_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    notice.say_once("nobody reads this")
