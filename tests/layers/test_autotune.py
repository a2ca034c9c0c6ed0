"""Tunings of `quasi_linear`: measured, saved, applied again without timing."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jacengine import timing
from jacengine.errors import ArgumentError
from jacengine.interface import Point, Tuning
from jacengine.layers import autotune
from jacengine.layers.rule import Form
from jacengine.strategies.quasi_linear import QuasiLinear
from jacengine.timing import seconds
from tests.contract.compare import assert_same
from tests.layers.points import point_of
from tests.problems import randn

CONVOLUTION, GRAPH = "2:0:0.weight", "2:graph"


def point(samples: int) -> Point:
    """Return a point of a small network with one convolution."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(27, 2)
    ).double()
    return point_of(model, randn(samples, 2, 4, 4))


@pytest.fixture
def timed_runs(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """List the times that are measured."""
    times: list[float] = []

    def measure(run: Callable[[], object], device: torch.device) -> float:
        times.append(seconds(run, device))
        return times[-1]

    monkeypatch.setattr(timing, "seconds", measure)
    return times


def blocks(strategy: QuasiLinear, at: Point) -> tuple[Tensor, ...]:
    seeds = torch.eye(2, dtype=torch.float64)[:, None].expand(2, 2, 2)
    return strategy.linearize(at)((seeds,))


def in_use(strategy: QuasiLinear) -> tuple[dict[str, str], str]:
    plan = strategy.plans[2]
    return dict(plan.contractions[0].implementations), plan.vectorisations[0]


def test_a_saved_tuning_is_applied_without_timing(timed_runs: list[float]) -> None:
    at = point(2)
    first, tuning = QuasiLinear().prepare(at, (), timed=True)
    assert [key for key, _ in tuning] == [CONVOLUTION, GRAPH]
    assert timed_runs
    timed_runs.clear()
    saved: Any = json.loads(json.dumps(tuning))
    loaded: Tuning = tuple((key, name) for key, name in saved)
    assert hash(loaded) == hash(tuning)
    again, complete = QuasiLinear().prepare(at, loaded, timed=True)
    assert complete == tuning
    assert in_use(again) == in_use(first)
    assert not timed_runs


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("name", ["conv_by_windows", "conv_by_groups", "conv_by_rows"])
@pytest.mark.parametrize("vectorisation", ["none", "legacy", "vmap"])
def test_what_a_tuning_names_is_used(
    name: str, vectorisation: str, *, timed: bool
) -> None:
    at = point(2)
    given = ((CONVOLUTION, name), (GRAPH, vectorisation))
    strategy, complete = QuasiLinear().prepare(at, given, timed=timed)
    assert complete == given
    assert in_use(strategy) == ({"weight": name}, vectorisation)
    assert_same(blocks(strategy, at), blocks(QuasiLinear(), at), 1e-12)


def test_only_what_a_tuning_does_not_name_is_timed(timed_runs: list[float]) -> None:
    at = point(2)
    given = ((CONVOLUTION, "conv_by_rows"),)
    _, tuning = QuasiLinear().prepare(at, given, timed=True)
    assert tuning[0] == given[0]
    vectorised = len(timed_runs)
    timed_runs.clear()
    QuasiLinear().prepare(at, tuning[1:], timed=True)
    assert len(timed_runs) == 3 * autotune.ROUNDS
    assert vectorised % 3 == 0


def test_defaults_are_taken_where_nothing_is_timed(timed_runs: list[float]) -> None:
    strategy, tuning = QuasiLinear().prepare(point(2), (), timed=False)
    assert tuning == ((CONVOLUTION, "conv_by_windows"), (GRAPH, "legacy"))
    assert strategy.prepare(point(2), (), timed=True) == (strategy, tuning)
    assert not timed_runs


def test_each_number_of_samples_has_its_own() -> None:
    given: Tuning = (("2:graph", "none"), ("3:graph", "vmap"))
    strategy, tuning = QuasiLinear(), given
    for samples in (2, 3):
        strategy, tuning = strategy.prepare(point(samples), tuning, timed=False)
    assert strategy.plans[2].vectorisations == ("none", "legacy", "vmap")
    assert strategy.plans[3].vectorisations == ("vmap", "legacy", "none")
    named = dict.fromkeys(("2:0:0.weight", "3:0:0.weight"), "conv_by_windows")
    assert dict(tuning) == {**dict(given), **named}
    assert list(tuning) == sorted(tuning)


@pytest.mark.parametrize("key", [CONVOLUTION, GRAPH])
def test_an_implementation_that_does_not_exist(key: str) -> None:
    with pytest.raises(ArgumentError, match=f"'by_magic' for '{key}'.*expected one of"):
        QuasiLinear().prepare(point(2), ((key, "by_magic"),), timed=True)


def test_names_of_implementations_are_unique() -> None:
    def contract(*_: Any) -> Tensor:
        raise NotImplementedError

    form = Form((contract, lambda *_: randn(1), lambda *_: randn(2)))
    assert list(form.by_name) == ["contract", "<lambda>", "<lambda>_2"]
    assert tuple(form.by_name.values()) == form.implementations
