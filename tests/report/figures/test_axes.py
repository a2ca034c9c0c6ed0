from hypothesis import given
from hypothesis import strategies as st

from jacengine.report.figures.axes import few_ticks


@given(st.floats(1e-9, 1e9), st.floats(4.0, 1e9))
def test_ticks_are_few_and_between_the_limits(low: float, factor: float) -> None:
    high = low * factor
    ticks = few_ticks(low, high).tick_values(low, high)
    visible = [tick for tick in ticks if low <= tick <= high]

    assert 1 <= len(visible) <= 5
