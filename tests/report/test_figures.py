from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from jacengine.report import Row
from jacengine.report.figures.axes import spaced
from jacengine.report.figures.bars import bars
from jacengine.report.figures.labels import Box, place
from jacengine.report.figures.scatter import scatter
from jacengine.report.ranking import Standing
from tests.report.build import case, example, ok

FRAME = Box(0, 0, 400, 300)


def test_nothing_is_drawn_of_nothing() -> None:
    standing = Standing.of(case("a", Row("b", "unsupported", "no"), ok("c", None)))

    assert bars(standing, salt="a") is None
    assert scatter(standing, salt="b") is None


def test_a_strategy_with_two_chunks_is_told_apart() -> None:
    drawn = bars(Standing.of(example().cases[0]), salt="a")

    assert drawn is not None
    assert ">fast /1<" in drawn
    assert ">fast /7<" in drawn
    assert ">reverse_loop<" in drawn


def test_the_same_data_give_the_same_figure() -> None:
    standing = Standing.of(example().cases[0])

    assert scatter(standing, salt="a") == scatter(standing, salt="a")


@given(st.floats(1e-9, 1e9), st.floats(1.2, 1e9))
def test_ticks_are_few_round_and_inside(low: float, factor: float) -> None:
    found = spaced(low, low * factor)

    assert len(found) <= 5
    assert all(low <= tick <= low * factor for tick in found)


points = st.tuples(st.floats(0, 400), st.floats(0, 300))


@given(st.lists(st.tuples(points, st.booleans()), max_size=9))
def test_labels_lie_inside_and_optional_ones_cover_nothing(
    drawn: list[tuple[tuple[float, float], bool]],
) -> None:
    needed = [important for _, important in drawn]
    boxes = place(
        [point for point, _ in drawn], [(60.0, 14.0)] * len(drawn), needed, FRAME
    )

    for box in boxes:
        assert box is None or FRAME.holds(box)
    pairs = combinations(zip(boxes, needed, strict=True), 2)
    for (a, a_needed), (b, b_needed) in pairs:
        if a and b and not (a_needed and b_needed):
            assert a.shared(b) == 0
