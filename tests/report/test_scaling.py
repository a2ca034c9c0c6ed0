from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacengine.report import Row
from jacengine.report.formatting import render_names
from jacengine.report.ranking import Ranking
from jacengine.report.scaling import case_names, workload_series
from jacengine.report.sentences import crossover_sentences
from tests.report.build import case, ok, sweep, workload


@given(st.floats(0.1, 3.0), st.floats(1e-6, 1.0))
def test_the_slope_is_the_fitted_power(power: float, start: float) -> None:
    found = workload("w", {"a": tuple(start * 10 ** (power * i) for i in range(3))})

    assert found.slope("a") == pytest.approx(power)
    assert found.slope("nobody") is None


def test_a_crossover_is_where_lines_meet() -> None:
    found = workload("w", {"linear": (1.0, 10.0, 100.0), "flat": (5.0, 5.0, 5.0)})

    [crossover] = found.crossovers()
    assert (crossover.before, crossover.after) == ("linear", "flat")
    assert crossover.size == pytest.approx(5.0)
    [sentence] = crossover_sentences(found)
    assert render_names(sentence) == "From about 5 samples on, flat overtakes linear."


def test_noise_on_both_sides_is_no_crossover() -> None:
    assert workload("w", {"a": (1.0, 10.1), "b": (1.01, 10.0)}).crossovers() == []


def test_a_crossover_needs_times_on_both_sides() -> None:
    found = workload("w", {"a": (1.0, 10.0), "b": (2.0, 5.0)})
    second = found.rankings[1].case
    rows = (second.rows[1], Row("a", "oom"))
    lost = Ranking(replace(second, rows=rows))
    [series] = workload_series([found.rankings[0], lost])

    assert series.crossovers() == []


def test_a_single_size_has_no_slope_and_no_crossover() -> None:
    cases = [
        replace(case(f"c{i}", ok("a", 1.0 + i)), workload="w", size=3) for i in range(2)
    ]
    [found] = workload_series([Ranking(each) for each in cases])

    assert found.slope("a") is None
    assert found.crossovers() == []


def test_sizes_are_sorted_and_settings_kept_apart() -> None:
    cases = [
        replace(case(f"a{size}{device}"), workload="a", size=size, device=device)
        for device in ("cpu", "cuda")
        for size in (5, 1, 3)
    ]
    found = workload_series([Ranking(each) for each in cases])

    assert [series.title for series in found] == ["a (cpu)", "a (cuda)"]
    assert [s.case.size for s in found[0].rankings] == [1, 3, 5]


def test_a_single_setting_is_not_in_the_title() -> None:
    cases = [
        replace(case(name), workload=name, size=1, dtype=dtype)
        for name, dtype in (("a", "float32"), ("b", "float64"))
    ]

    assert [s.title for s in workload_series([Ranking(c) for c in cases])] == ["a", "b"]


def test_whole_workloads_are_named_once() -> None:
    rankings = [Ranking(each) for each in sweep(2).cases]

    assert case_names(rankings[:4], rankings) == ["workload_00", "workload_01[10]"]
    assert case_names(rankings, rankings) == ["workload_00", "workload_01"]
