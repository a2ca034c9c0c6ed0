from jacengine.report import Row
from jacengine.report.figures.bars import time_bars
from jacengine.report.ranking import Ranking
from tests.report.build import case, example, ok


def test_nothing_is_drawn_without_times() -> None:
    ranking = Ranking(case("a", Row("b", "unsupported", "no"), ok("c", None)))

    assert time_bars(ranking, salt="a") is None


def test_chunk_sizes_of_a_strategy_are_distinguished() -> None:
    drawn = time_bars(Ranking(example().cases[0]), salt="a")

    assert drawn is not None
    assert ">fast /1<" in drawn
    assert ">fast /7<" in drawn
    assert ">reverse_loop<" in drawn
