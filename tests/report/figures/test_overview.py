from dataclasses import replace

from jacengine.report.figures.overview import (
    library_figure,
    regret_figure,
    roofline_figure,
)
from jacengine.report.ranking import Ranking
from tests.report.build import case, ok, sweep


def test_figures_are_drawn_only_where_there_are_values() -> None:
    whole = sweep(2)
    rankings = [Ranking(each) for each in whole.cases]
    alone = [Ranking(case("a", ok("fast", 1.0)))]

    for draw in (regret_figure, library_figure):
        assert draw(rankings) is not None
        assert draw(alone) is None
    assert roofline_figure(whole, rankings) is not None
    unrated = replace(whole, fill_rate=None, matmul_rate=None)
    assert roofline_figure(unrated, alone) is None
