from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacengine.report import Case, Row
from jacengine.report.failures import failures
from jacengine.report.figures.growth import growth_figure
from jacengine.report.figures.overview import floor_figure, gains_figure, regret_figure
from jacengine.report.ranking import Standing
from jacengine.report.roofline import distance
from jacengine.report.scaling import Series, all_series, places
from jacengine.report.sentence_verdicts import growth
from tests.report.build import case, ok, report, sweep


def workload(name: str, times: dict[str, tuple[float, ...]], **setting: str) -> Series:
    cases = [
        Case(
            f"{name}[{10**place}]",
            "",
            tuple(ok(method, each[place]) for method, each in times.items()),
            workload=name,
            size=10**place,
            parameter="samples",
            **setting,  # type: ignore[arg-type]
        )
        for place in range(len(next(iter(times.values()))))
    ]
    [found] = all_series([Standing.of(each) for each in cases])
    return found


@given(st.floats(0.1, 3.0), st.floats(1e-6, 1.0))
def test_the_power_is_the_fitted_one(power: float, start: float) -> None:
    found = workload("w", {"a": tuple(start * 10 ** (power * i) for i in range(3))})

    assert found.slope("a") == pytest.approx(power)
    assert found.slope("nobody") is None


def test_a_crossover_is_where_lines_meet() -> None:
    found = workload("w", {"linear": (1.0, 10.0, 100.0), "flat": (5.0, 5.0, 5.0)})

    [crossover] = found.crossovers()
    assert (crossover.before, crossover.after) == ("linear", "flat")
    assert crossover.size == pytest.approx(5.0)
    [sentence] = growth(found)
    assert "".join(sentence) == "From about 5 samples on, flat overtakes linear."


def test_noise_on_both_sides_is_no_crossover() -> None:
    assert workload("w", {"a": (1.0, 10.1), "b": (1.01, 10.0)}).crossovers() == []


def test_one_that_was_not_timed_on_both_sides_crosses_nothing() -> None:
    found = workload("w", {"a": (1.0, 10.0), "b": (2.0, 5.0)})
    second = found.standings[1].case
    rows = (second.rows[1], Row("a", "oom"))
    lost = Standing.of(replace(second, rows=rows))
    [series] = all_series([found.standings[0], lost])

    assert series.crossovers() == []


def test_sizes_are_sorted_and_settings_kept_apart() -> None:
    cases = [
        replace(case(f"a{size}{device}"), workload="a", size=size, device=device)
        for device in ("cpu", "cuda")
        for size in (5, 1, 3)
    ]
    found = all_series([Standing.of(each) for each in cases])

    assert [series.title for series in found] == ["a (cpu)", "a (cuda)"]
    assert [s.case.size for s in found[0].standings] == [1, 3, 5]


def test_a_workload_in_one_setting_needs_no_setting() -> None:
    cases = [
        replace(case(name), workload=name, size=1, dtype=dtype)
        for name, dtype in (("a", "float32"), ("b", "float64"))
    ]

    assert [s.title for s in all_series([Standing.of(c) for c in cases])] == ["a", "b"]


def test_whole_workloads_are_named_once() -> None:
    standings = [Standing.of(each) for each in sweep(2).cases]

    assert places(standings[:4], standings) == ["workload_00", "workload_01[10]"]
    assert places(standings, standings) == ["workload_00", "workload_01"]


def test_failures_are_gathered_the_worst_first() -> None:
    cases = [
        case(
            name,
            ok("fast", 1.0),
            Row("opacus", "skipped", "not installed", kind="library"),
            Row("slow", "skipped", "too slow to win", time_s=9.0),
            Row("broken", "wrong", f"off on {name}"),
        )
        for name in ("p", "q")
    ]
    found = failures([Standing.of(each) for each in cases])

    assert [(f.method, f.outcome, f.where, f.everywhere) for f in found] == [
        ("broken", "wrong", ("p",), False),
        ("broken", "wrong", ("q",), False),
        ("opacus", "skipped", ("p", "q"), True),
    ]
    assert [f.expected for f in found] == [False, False, True]


@pytest.mark.parametrize(
    ("dtype", "flops", "factor", "bound"),
    [
        ("float32", 10**9, 5.0, "arithmetic"),
        ("float32", 10**6, 50.0, "memory"),
        ("float64", 10**9, 50.0, "memory"),
        ("float32", None, 50.0, "memory"),
    ],
)
def test_the_floor_is_the_longer_of_two_times(
    dtype: str, flops: int | None, factor: float, bound: str
) -> None:
    row = replace(ok("fast", 0.5), flops=flops)
    found = replace(case("a", row), dtype=dtype, result_bytes=10**6)
    whole = replace(report(found), fill_rate=1e8, matmul_rate=1e10)
    known = distance(whole, Standing.of(found))

    assert known is not None
    assert known.factor == pytest.approx(factor)
    assert known.bound == bound


def test_no_rates_no_floor() -> None:
    found = case("a", ok("fast", 0.5))

    assert distance(report(found), Standing.of(found)) is None


def test_noise_is_read_off_the_rounds() -> None:
    def rounds(name: str, *times: float) -> Row:
        return replace(ok(name, sorted(times)[len(times) // 2]), times=times)

    clear = Standing.of(case("a", rounds("a", 1.0, 1.01, 1.02), rounds("b", 2, 2, 2)))
    noisy = Standing.of(case("a", rounds("a", 1.0, 1.5, 2.0), rounds("b", 1, 1.7, 2)))

    assert not clear.noisy
    assert noisy.noisy
    assert not noisy.close


def test_figures_of_a_sweep_are_drawn_only_where_there_is_something() -> None:
    whole = sweep(2)
    standings = [Standing.of(each) for each in whole.cases]
    alone = [Standing.of(case("a", ok("fast", 1.0)))]

    for draw in (regret_figure, gains_figure):
        assert draw(standings) is not None
        assert draw(alone) is None
    assert floor_figure(whole, standings) is not None
    assert floor_figure(replace(whole, fill_rate=None, matmul_rate=None), alone) is None
    assert growth_figure(all_series(standings)[0], salt="a") is not None
    assert growth_figure(workload("w", {"a": (1.0,)}), salt="a") is None


def test_slopes_of_equal_sizes_divide_nothing() -> None:
    cases = [
        replace(case(f"c{i}", ok("a", 1.0 + i)), workload="w", size=3) for i in range(2)
    ]
    [found] = all_series([Standing.of(each) for each in cases])

    assert found.slope("a") is None
    assert found.crossovers() == []
    assert growth_figure(found, salt="a") is not None
