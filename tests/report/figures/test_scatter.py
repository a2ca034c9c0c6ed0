from dataclasses import replace

from jacengine.report import Row
from jacengine.report.figures.scatter import memory_scatter
from jacengine.report.ranking import Ranking
from tests.report.build import auto, case, example, ok


def test_nothing_is_drawn_without_times() -> None:
    ranking = Ranking(case("a", Row("b", "unsupported", "no"), ok("c", None)))

    assert memory_scatter(ranking, salt="a") is None


def test_nothing_is_drawn_where_no_strategy_is_correct() -> None:
    chosen = replace(auto(1.0), peak_bytes=100)
    ranking = Ranking(case("a", Row("b", "wrong"), chosen))

    assert memory_scatter(ranking, salt="a") is None


def test_the_same_data_give_the_same_figure() -> None:
    ranking = Ranking(example().cases[0])

    assert memory_scatter(ranking, salt="a") == memory_scatter(ranking, salt="a")
