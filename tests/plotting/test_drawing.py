import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jacengine.plotting.drawing import downsample


def test_downsampling_keeps_the_largest_entry() -> None:
    J = 1e-3 * torch.rand(3000, 2500)
    J[1234, 567] = -5.0
    shown = downsample(J)

    assert shown.values.shape == (1024, 1024)
    assert shown.values.min() == -5.0


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12))
def test_every_entry_is_under_a_pixel(rows: int, columns: int, most: int) -> None:
    J = torch.randn(rows, columns)
    values = downsample(J, most).values

    assert values.shape == (min(rows, most), min(columns, most))
    assert values.abs().max() == J.abs().max()
    assert torch.isin(values, J).all()
    single = torch.zeros(rows, columns)
    single[rows // 2, columns // 2] = -1.0
    assert (downsample(single, most).values == -1).any()


def test_an_outlier_does_not_stretch_the_colour_map() -> None:
    J = torch.randn(100, 100)
    J[0, 0] = 1e6
    shown = downsample(J)

    assert shown.clipped
    assert shown.limit < 10
    assert not downsample(torch.rand(100, 100)).clipped


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_nonfinite_entries_are_visible_after_downsampling(value: float) -> None:
    J = torch.randn(1500, 1100)
    J[700, 700] = value
    shown = downsample(J)

    assert shown.nonfinite == 1
    assert 1 <= int(shown.values.isnan().sum()) <= 4
    assert shown.limit < 10
