"""Progress: events for whoever listens, lines in a terminal, silence elsewhere."""

import io
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import jacengine
from jacengine import ProgressEvent, _progress, _terminal_progress
from jacengine._terminal_progress import HINTS, TerminalProgress
from jacengine.plans.blockwise import Axis
from tests.terminal import ROOT, run_in_terminal

ALL_AT_ONCE = ("reverse_loop", "vmap_jvp")


@pytest.fixture(autouse=True)
def _all_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_progress, "INTERVAL_S", 0.0)


def cube(x: Tensor) -> Tensor:
    return x**3


def of_stage(events: list[ProgressEvent], stage: str) -> list[ProgressEvent]:
    return [event for event in events if event.stage == stage]


def test_a_selection_tells_what_it_tries() -> None:
    events: list[ProgressEvent] = []
    with jacengine.progress(events.append):
        plan = jacengine.plan(cube, torch.ones(4), strategies=ALL_AT_ONCE)

    found = of_stage(events, "selection")
    tried = {r.strategy for r in plan.selection.candidates if r.time_s is not None}
    assert tried <= {event.detail for event in found}
    assert all(event.total == len(ALL_AT_ONCE) for event in found)
    assert [event.ended for event in found] == [False] * (len(found) - 1) + [True]
    done = [event.done for event in found]
    assert done == sorted(done)
    assert done[0] == 0
    elapsed = [event.elapsed_s for event in found]
    assert elapsed == sorted(elapsed)


def test_a_jacobian_of_several_passes_tells_the_share_that_is_done() -> None:
    plan = jacengine.plan(cube, torch.ones(5), strategies=["reverse_loop"])
    events: list[ProgressEvent] = []
    with jacengine.progress(events.append):
        J = plan(torch.ones(5))

    assert torch.equal(J, 3 * torch.eye(5))
    assert {event.stage for event in events} == {"jacobian"}
    shares = [event.done for event in events]
    assert shares == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert [event.ended for event in events] == [False] * 4 + [True]
    assert {event.total for event in events} == {1}


def test_a_jacobian_in_one_pass_has_no_progress() -> None:
    plan = jacengine.plan(cube, torch.ones(5), strategies=["vmap_jvp"])
    events: list[ProgressEvent] = []
    with jacengine.progress(events.append):
        plan(torch.ones(5))

    assert events == []


def test_a_jacobian_that_fails_ends() -> None:
    class GoneError(Exception):
        pass

    calls = iter(range(100))

    def fails(x: Tensor) -> Tensor:
        if broken and next(calls) > 2:
            raise GoneError
        return x**3

    broken = False
    plan = jacengine.plan(fails, torch.ones(5), strategies=["forward_dual"])
    broken = True
    events: list[ProgressEvent] = []
    with jacengine.progress(events.append), pytest.raises(GoneError):
        plan(torch.ones(5))

    assert [event.ended for event in events] == [False] * (len(events) - 1) + [True]
    assert 0 < events[-1].done < 1


@pytest.mark.parametrize("by", ["rows", "samples", "parameters"])
def test_blocks_tell_where_they_are(by: Axis) -> None:
    model, x = torch.nn.Linear(30, 20), torch.ones(40, 30)
    events: list[ProgressEvent] = []
    with jacengine.progress(events.append):
        pieces = jacengine.blocks(
            model,
            x,
            wrt="params",
            batch_dim=0,
            by=by,
            memory_budget=7_000_000,
            strategies=["reverse_loop"],
        )
        count = len(list(pieces))

    found = of_stage(events, "blocks")
    assert found[-1].ended
    begun = [event.done for event in found if not event.ended]
    assert len(begun) >= count > 1
    assert begun == sorted(begun)
    total = {"samples": 40, "rows": 20, "parameters": 2}[by]
    assert {event.total for event in found} == {total}


def test_a_large_out_is_filled_in_blocks() -> None:
    x = torch.ones(64, dtype=torch.float64)
    out = torch.zeros(64, 64, dtype=torch.float64)
    events: list[ProgressEvent] = []
    with jacengine.progress(events.append):
        jacengine.auto(
            cube, x, out=out, memory_budget=30_000, strategies=["reverse_loop"]
        )

    assert torch.equal(out, 3 * torch.eye(64, dtype=torch.float64))
    assert len({event.done for event in of_stage(events, "blocks")}) > 1


def test_waiting_for_compilation_is_reported() -> None:
    events: list[ProgressEvent] = []
    with jacengine.progress(events.append):
        plan = jacengine.plan(
            cube, torch.ones(3), strategies=["batched_grad"], compiled=True
        )

    assert any(r.compiled for r in plan.selection.candidates), plan.explain()
    found = of_stage(events, "compilation")
    assert found[0].done == 0
    assert found[-1].ended
    # It lies inside of the selection.
    assert events[0].stage == events[-1].stage == "selection"


def test_what_a_callback_raises_changes_nothing() -> None:
    calls = []

    def broken(event: ProgressEvent) -> None:
        calls.append(event)
        raise RuntimeError("no bar")

    warned = pytest.warns(UserWarning, match="RuntimeError: no bar. It was not called")
    with warned, jacengine.progress(broken):
        J = jacengine.auto(cube, torch.ones(3))
    assert torch.equal(J, 3 * torch.eye(3))
    assert len(calls) == 1


def test_a_callback_can_interrupt() -> None:
    def stop(_: ProgressEvent) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), jacengine.progress(stop):
        jacengine.plan(cube, torch.ones(3))
    assert _progress.listener() is None  # standard error of a test is no terminal
    assert torch.equal(jacengine.auto(cube, torch.ones(3)), 3 * torch.eye(3))


def test_contexts_nest_and_threads_have_their_own() -> None:
    outer: list[ProgressEvent] = []
    inner: list[ProgressEvent] = []

    def work() -> None:
        jacengine.plan(cube, torch.ones(3))

    with jacengine.progress(outer.append):
        with jacengine.progress(inner.append):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            assert not inner
            work()
        assert inner
        assert not outer
        with jacengine.progress(None):
            work()
        assert not outer
        work()
        assert outer


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    stream = Terminal()
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(_terminal_progress, "EACH_S", 0.01)
    with jacengine.progress(TerminalProgress(stream)):
        yield stream
    assert not [t for t in threading.enumerate() if t.name == "jacengine progress"]


def end_of_clock() -> None:
    for thread in threading.enumerate():
        if thread.name == "jacengine progress":
            thread.join(60)


def test_brief_things_show_nothing(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_terminal_progress, "AFTER_S", 600.0)
    jacengine.auto(cube, torch.ones(3))
    end_of_clock()

    assert terminal.getvalue() == ""


def test_a_stage_without_events_is_shown_by_the_clock(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_terminal_progress, "AFTER_S", 0.01)
    until = time.monotonic() + 60
    with _progress.stage("compilation"):
        while "compiling" not in terminal.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
    end_of_clock()

    assert "jacengine: compiling  0 s" in terminal.getvalue()
    assert terminal.getvalue().count(HINTS["compilation"]) == 1
    assert terminal.getvalue().endswith("\x1b[2K")  # the line is gone


def test_nested_stages_have_lines_and_names_are_no_markup(terminal: Terminal) -> None:
    with (
        _progress.stage("blocks", 10, 3, elapsed_s=100),
        _progress.stage("selection", 4, elapsed_s=5) as report,
    ):
        report(1, "[bold]mine[/]")
        time.sleep(0.01)
        report(2, "[bold]mine[/]")
    end_of_clock()

    assert "blocks  100 s" in terminal.getvalue()
    assert "choosing a method [bold]mine[/]  5 s" in terminal.getvalue()


def test_compiling_beside_the_calls_is_said_once(terminal: Terminal) -> None:
    for _ in range(3):
        _progress.tell("background compilation")

    assert terminal.getvalue() == f"jacengine: {HINTS['background compilation']}\n"


def test_a_terminal_that_is_gone_is_no_error() -> None:
    stream = Terminal()
    shown = TerminalProgress(stream)
    stream.close()
    shown(ProgressEvent("blocks", 1, 3, elapsed_s=9.0))
    shown(ProgressEvent("blocks", 1, 3, elapsed_s=9.0, ended=True))
    shown(ProgressEvent("background compilation", 0, ended=True))


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_without_a_terminal_nobody_listens(
    stream: io.StringIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)

    assert _progress.listener() is None


SCRIPT = """
import time, torch, jacengine
from jacengine import _terminal_progress
_terminal_progress.AFTER_S = 0.2

def slow(x):
    time.sleep(0.02)
    return x.sin()

with context:
    J = jacengine.jacobian(slow, torch.ones(20), strategy="forward_dual")
    for piece in jacengine.blocks(slow, torch.ones(8), by="rows", memory_budget=3000):
        pass
print(J.shape)
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "script.py"
    context = "__import__('contextlib').nullcontext()"
    path.write_text(f"context = {context}\n{SCRIPT}")
    return str(path)


def test_a_terminal_shows_what_goes_on(script: str) -> None:
    code, text = run_in_terminal(script)

    assert code == 0, text
    for line in ("computing the Jacobian", "choosing a method", "blocks"):
        assert f"jacengine: {line}" in text
    assert "torch.Size([20, 20])" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h")  # the cursor


def test_a_pipe_shows_nothing(script: str) -> None:
    done = subprocess.run(
        [sys.executable, script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout == "torch.Size([20, 20])\n"


def test_it_can_be_turned_off(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(f"import jacengine\ncontext = jacengine.progress(None)\n{SCRIPT}")

    assert run_in_terminal(str(path)) == (0, "torch.Size([20, 20])\r\n")


def test_ctrl_c_gives_the_terminal_back(script: str) -> None:
    path = Path(script)
    # What runs in the background of a shell inherits that Ctrl-C is ignored.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    path.write_text(heard + path.read_text())
    code, text = run_in_terminal(script, interrupt_at="computing the Jacobian")

    assert code != 0
    assert "KeyboardInterrupt" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h")
