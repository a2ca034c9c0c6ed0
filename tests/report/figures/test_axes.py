from hypothesis import given
from hypothesis import strategies as st

from jacengine.report.figures.axes import log_ticks


@given(st.floats(1e-9, 1e9), st.floats(4.0, 1e9))
def test_ticks_are_few_and_between_the_limits(low: float, factor: float) -> None:
    high = low * factor
    ticks = log_ticks(low, high)

    assert 1 <= len(ticks) <= 5
    assert all(low <= tick <= high for tick in ticks)
