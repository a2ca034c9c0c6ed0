import re
from itertools import pairwise

import matplotlib as mpl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacengine.report.figures.axes import (
    FACTOR_FORMAT,
    STYLE,
    log_axis,
    log_ticks,
    new_axes,
    shortened,
)


@given(st.floats(1e-9, 1e9), st.floats(4.0, 1e9))
def test_ticks_are_few_and_between_the_limits(low: float, factor: float) -> None:
    high = low * factor
    ticks = log_ticks(low, high)

    assert 1 <= len(ticks) <= 5
    assert all(low <= tick <= high for tick in ticks)


@pytest.mark.parametrize("limits", [(0.75, 3e5), (0.75, 6e4), (0.01, 900), (0.9, 1.3)])
@pytest.mark.parametrize("left", [60, 200])
def test_labels_of_ticks_do_not_touch(limits: tuple[float, float], left: float) -> None:
    """Measured as matplotlib draws them."""
    with mpl.rc_context(STYLE):
        axes = new_axes(200, left=left, right=60)
        log_axis(axes, "x", limits, FACTOR_FORMAT)
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.draw_without_rendering()
        labels = [label for label in axes.get_xticklabels() if label.get_text()]
        boxes = [label.get_window_extent() for label in labels]

    assert len(boxes) >= 2
    for before, after in pairwise(boxes):
        assert before.x1 + 2 < after.x0


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "0.5"), (1000, "1,000"), (10_000, "10k"), (2e6, "2M")]
)
def test_large_factors_are_short(value: float, text: str) -> None:
    assert re.fullmatch(f"{text}.", FACTOR_FORMAT(value, 0))


names = st.lists(st.text("ab(", min_size=1, max_size=40), max_size=8)


@given(names)
def test_shortened_names_stay_different(drawn: list[str]) -> None:
    found = shortened(drawn, 10)

    assert found.keys() == set(drawn)
    assert len(set(found.values())) == len(found)
    for name, short in found.items():
        start, dots, end = short.partition("…")
        assert short == name or (dots and name.startswith(start) and name.endswith(end))
        assert len(short) <= max(10, len(name))


def test_names_are_cut_as_little_as_tells_them_apart() -> None:
    kinds = ("jacobian", "hessian")
    found = shortened(f"functional.{kind}(vectorize)" for kind in kinds)

    assert [*found.values()] == [
        "functional.j…(vectorize)",
        "functional.h…(vectorize)",
    ]
