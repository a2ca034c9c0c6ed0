from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacengine.report.figures.labels import overlap, place_labels

FRAME = np.array([0.0, 0.0, 400.0, 300.0])


points = st.tuples(st.floats(0, 400), st.floats(0, 300))


@given(st.lists(st.tuples(points, st.booleans()), max_size=9))
def test_labels_are_inside_and_optional_ones_cover_nothing(
    drawn: list[tuple[tuple[float, float], bool]],
) -> None:
    required = [important for _, important in drawn]
    boxes = place_labels(
        [point for point, _ in drawn], [(60.0, 14.0)] * len(drawn), required, FRAME
    )

    for box in boxes:
        assert box is None or overlap(box, FRAME[None]) == pytest.approx(60 * 14)
    pairs = combinations(zip(boxes, required, strict=True), 2)
    for (a, a_required), (b, b_required) in pairs:
        if a is not None and b is not None and not (a_required and b_required):
            assert overlap(a, b[None]) == 0
