from jacengine.report.figures.growth import growth_figure
from jacengine.report.ranking import Ranking
from jacengine.report.scaling import workload_series
from tests.report.build import sweep, workload


def test_growth_is_drawn_of_two_sizes() -> None:
    [series] = workload_series([Ranking(each) for each in sweep(1).cases])
    drawn = growth_figure(series, salt="a")

    assert drawn is not None
    assert drawn == growth_figure(series, salt="a")
    assert growth_figure(workload("w", {"a": (1.0,)}), salt="a") is None
