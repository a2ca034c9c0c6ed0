from dataclasses import replace
from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.transforms import Bbox

from jacengine.report import Row
from jacengine.report.figures.scatter import memory_scatter, overlap, place_labels
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


def test_a_label_without_room_at_its_point_is_placed_further_off() -> None:
    """A cluster: every place next to the points would cover one of them."""
    points = [(100.0 + 14 * i, 100.0 + 14 * j) for i in range(5) for j in range(5)]
    required = [i == 12 for i in range(25)]
    frame = Bbox.from_extents(0, 0, 400, 300)

    boxes = place_labels(points, [60.0] * 25, required, frame)

    box = boxes[12]
    assert box is not None
    assert not any(box.contains(x, y) for x, y in points)


def test_labels_leave_other_text_alone() -> None:
    frame = Bbox.from_extents(0, 0, 400, 300)
    [free] = place_labels([(100.0, 100.0)], [60.0], [True], frame)
    assert free is not None

    [box] = place_labels([(100.0, 100.0)], [60.0], [True], frame, written=[free])

    assert box is not None
    assert not box.overlaps(free)


points = st.tuples(st.floats(0, 400), st.floats(0, 300))


@given(st.lists(st.tuples(points, st.booleans()), max_size=9))
def test_labels_are_inside_and_optional_ones_cover_nothing(
    drawn: list[tuple[tuple[float, float], bool]],
) -> None:
    required = [important for _, important in drawn]
    widths = [60.0] * len(drawn)
    frame = Bbox.from_extents(0, 0, 400, 300)
    boxes = place_labels([point for point, _ in drawn], widths, required, frame)

    for box in boxes:
        assert box is None or frame.count_contains(box.corners()) == 4
    pairs = combinations(zip(boxes, required, strict=True), 2)
    for (a, a_required), (b, b_required) in pairs:
        if a is not None and b is not None and not (a_required and b_required):
            assert overlap(a, np.array([b.extents])) == 0
