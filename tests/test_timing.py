"""The peak counter against torch's own profiler, the clock and interleaved rounds."""

import gc
import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from jacengine import timing
from jacengine.peak_memory import peak_memory
from jacengine.timing import format_seconds, seconds, time_interleaved
from tests.problems import mlp, randn

CPU = torch.device("cpu")

Computation = Callable[[Tensor], object]


def profiled_peak(run: Callable[[], object]) -> int:
    """Sum up the allocations that the profiler saw."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        kept = run()
    results: Any = found.profiler and found.profiler.kineto_results
    live = peak = 0
    for event in results.events():
        if event.name() == "[memory]":
            live += event.nbytes()
            peak = max(peak, live)
    del kept
    return peak


def counted_peak(run: Callable[[], object]) -> int:
    with peak_memory(CPU) as peak:
        kept = run()
    del kept
    return peak.bytes


def elementwise(x: Tensor) -> Tensor:
    """Free two of three intermediate results on the way."""
    return x.sin().cos().exp() + x


def views_and_sums(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return a view of one large storage, and write in place."""
    large = torch.cat([x, x, x])
    large.mul_(2)
    part = large[:1].T
    return part, large.sum(0)


def gradients(x: Tensor) -> tuple[Tensor, ...]:
    model = mlp(64, 32, 16)
    point = x.clone().requires_grad_()
    return torch.autograd.grad(model(point).sum(), (point, *model.parameters()))


@pytest.mark.parametrize("run", [elementwise, views_and_sums, gradients])
def test_peak_is_that_of_the_profiler(run: Computation) -> None:
    x = randn(50, 64)
    run(x)
    assert counted_peak(lambda: run(x)) == profiled_peak(lambda: run(x)) > 0


def test_peak_by_hand() -> None:
    x = torch.zeros(1000)
    assert counted_peak(lambda: x + 1) == 4000
    assert counted_peak(lambda: ((x + 1) + 1) + 1) == 8000
    assert counted_peak(lambda: [x + 1, x + 1, x + 1]) == 12000
    assert counted_peak(lambda: [x[1:], x.view(10, 100), x.detach()]) == 0
    assert counted_peak(lambda: x.add_(1)) == 0


def test_what_was_there_before_is_not_counted() -> None:
    before = [torch.zeros(1000) for _ in range(3)]
    with peak_memory(CPU) as peak:
        before[0] = before[1] + before[2]
    assert peak.bytes == 4000


def test_peaks_inside_kernels() -> None:
    with peak_memory(CPU, in_kernels=True) as outer:
        kept = torch.zeros(1000)
        with peak_memory(CPU, in_kernels=True) as inner:
            torch.zeros(2000)
            del kept
        torch.zeros(1500)
    assert (inner.bytes, outer.bytes) == (8000, 12000)
    # Both of its halves, of which no operator returns the first.
    x = torch.zeros(1000)
    with peak_memory(CPU, in_kernels=True) as peak:
        torch.einsum("i,i->", x, x.sin())
    assert peak.bytes >= 4000


def test_workspaces_of_convolutions() -> None:
    net, x = nn.Conv2d(16, 32, 3, padding=1), torch.zeros(32, 16, 32, 32)

    def run() -> Tensor:
        return torch.autograd.grad(net(x).sum(), net.weight)[0]

    with peak_memory(CPU) as returned:
        run()
    with peak_memory(CPU, in_kernels=True) as allocated:
        run()
    assert allocated.bytes > returned.bytes


def test_inside_a_profiler_of_the_users() -> None:
    with torch.autograd.profiler.profile() as profiler:
        with peak_memory(CPU, in_kernels=True) as peak:
            torch.zeros(1000)
        assert peak.bytes == 4000
    assert "aten::zeros" in str(profiler)


def test_peak_is_filled_in_after_an_exception() -> None:
    with pytest.raises(ValueError, match="mine"), peak_memory(CPU):
        raise ValueError("mine")
    assert counted_peak(lambda: torch.zeros(10)) == 40


def test_seconds_hold_back_the_garbage_collector() -> None:
    seen: list[bool] = []
    assert gc.isenabled()
    taken = seconds(lambda: seen.append(gc.isenabled()), CPU)
    assert seen == [False]
    assert gc.isenabled()
    assert taken >= 0
    with pytest.raises(ValueError, match="mine"):
        seconds(_raise, CPU)
    assert gc.isenabled()


def _raise() -> None:
    raise ValueError("mine")


def test_seconds_leave_a_disabled_collector_alone() -> None:
    gc.disable()
    try:
        seconds(lambda: None, CPU)
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0, "0 us"), (3.21e-6, "3.21 us"), (0.0321, "32.1 ms"), (2.5, "2.5 s")],
)
def test_times_as_people_write_them(value: float, written: str) -> None:
    assert format_seconds(value) == written


class Recorder:
    """Callables that record their turns and take a known time each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **seconds_of: float) -> None:
        self.turns: list[str] = []
        self.runs: Mapping[str, Callable[[], float]] = {
            name: self._run(name, taken) for name, taken in seconds_of.items()
        }
        monkeypatch.setattr(timing, "seconds", lambda run, _: run())

    def _run(self, name: str, taken: float) -> Callable[[], float]:
        def run() -> float:
            self.turns.append(name)
            return taken

        return run


def test_rounds_alternate_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Recorder(monkeypatch, a=1.0, b=2.0)

    found = time_interleaved(made.runs, CPU, rounds=3)

    assert found.times == {"a": [1.0] * 3, "b": [2.0] * 3}
    assert found.failures == {}
    assert "".join(made.turns) == "abbaab"


def test_rounds_may_be_shuffled(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[list[str]] = []
    for seed in (0, 0, 1):
        made = Recorder(monkeypatch, a=1.0, b=2.0, c=3.0)
        time_interleaved(made.runs, CPU, rounds=9, shuffle=random.Random(seed))
        turns.append(made.turns)

    assert turns[0] == turns[1] != turns[2]
    assert all(set(turns[0][i : i + 3]) == {"a", "b", "c"} for i in range(0, 27, 3))


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"rounds": 0}, 0),
        ({"rounds": 9, "limit_s": 2.5}, 3),
        ({"rounds": 9, "limit_s": 0.0}, 0),
        ({"rounds": 9, "limit_s": 2.5, "min_rounds": 5}, 5),
        ({"rounds": 4, "limit_s": 2.5, "min_rounds": 5}, 4),
        ({"rounds": 2, "warm_up_rounds": 3}, 2),
    ],
)
def test_rounds_are_limited(
    monkeypatch: pytest.MonkeyPatch, limits: dict[str, Any], expected: int
) -> None:
    made = Recorder(monkeypatch, a=0.5, b=0.5)

    found = time_interleaved(made.runs, CPU, **limits)

    assert [len(times) for times in found.times.values()] == [expected] * 2
    assert len(made.turns) == 2 * (expected + limits.get("warm_up_rounds", 0))


def test_participants_are_chosen_by_the_times(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Recorder(monkeypatch, a=1.0, b=2.0)
    most = {"a": 3, "b": 1}

    found = time_interleaved(
        made.runs,
        CPU,
        rounds=9,
        participants=lambda times: [n for n in times if len(times[n]) < most[n]],
    )

    assert found.times == {"a": [1.0] * 3, "b": [2.0]}


def test_what_raises_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Recorder(monkeypatch, a=1.0, b=2.0)

    def fails() -> float:
        if len(made.turns) > 2:
            raise ValueError("mine")
        made.turns.append("c")
        return 3.0

    found = time_interleaved({"c": fails, **made.runs}, CPU, rounds=4)

    assert found.times == {"a": [1.0] * 4, "b": [2.0] * 4}
    assert isinstance(found.failures["c"], ValueError)
    assert made.turns.count("c") == 1


def test_interleaved_rounds_use_the_clock() -> None:
    found = time_interleaved({"a": lambda: None}, CPU, rounds=2)

    assert all(taken >= 0 for taken in found.times["a"])
    assert len(found.times["a"]) == 2
