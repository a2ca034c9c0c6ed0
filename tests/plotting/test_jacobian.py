import io
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

import jacengine
from jacengine.plotting import plot
from jacengine.report.formatting import TIMES


def image(figure: Figure) -> np.ndarray[Any, Any]:
    return np.asarray(figure.axes[0].images[0].get_array())


def texts(figure: Figure) -> list[str]:
    axes = figure.axes[0]
    ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()]
    return [label.get_text() for label in ticks]


def saved(figure: Figure) -> int:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.tell()


def test_a_small_jacobian_is_drawn_entry_by_entry() -> None:
    J = torch.randn(4, 6)
    figure = plot(J)

    assert np.array_equal(image(figure), J.numpy())
    low, high = figure.axes[0].images[0].get_clim()
    assert (low, high) == (-high, J.abs().max().item())
    assert saved(figure) > 1000


def test_blocks_are_named() -> None:
    J = {"0.weight": torch.randn(3, 2, 5, 7), "0.bias": torch.randn(3, 2, 5)}
    figure = plot(J, batch_dim=0, title="J")

    assert f"0.weight (5{TIMES}7)" in texts(figure)
    assert "0.bias (5)" in texts(figure)
    assert {"0", "1", "2"} < set(texts(figure))
    assert figure.axes[0].get_ylabel() == "samples of output (2)"
    assert saved(figure) > 1000


def test_outputs_are_named() -> None:
    figure = plot({"y": torch.randn(2, 4), "z": torch.randn(3, 4)})

    assert {"y (2)", "z (3)"} < set(texts(figure))


def test_outputs_and_inputs_in_tuples_are_numbered() -> None:
    figure = plot(((torch.randn(2, 3),), (torch.randn(4, 3),)))

    assert {"[0] (2)", "[1] (4)", "[0] (3)"} < set(texts(figure)) | {""}


def test_downsampling_is_stated_in_the_caption() -> None:
    assert "largest magnitude" in plot(torch.rand(3000, 20)).axes[0].get_xlabel()


def test_names_too_near_to_each_other_are_omitted() -> None:
    J = {f"p{i}": torch.randn(2, 1) for i in range(200)}

    assert 5 < len([text for text in texts(plot(J)) if text.startswith("p")]) < 30


def test_names_are_not_parsed_as_formulas() -> None:
    figure = plot({"$\\frac$": torch.randn(2, 3), "b": torch.randn(2, 3)}, title="$x$$")

    assert saved(figure) > 1000


def test_a_sparse_jacobian_is_drawn_as_its_pattern() -> None:
    diagonal = torch.eye(20)

    assert set(np.unique(image(plot(diagonal)))) == {0, 1}
    assert image(plot(diagonal)).sum() == 20
    assert len(plot(diagonal, sparse=False).axes) == 2
    assert len(plot(diagonal).axes) == 1
    assert len(plot(torch.randn(3, 3), sparse=True).axes) == 1
    assert "95.0 % exactly zero" in plot(diagonal).axes[0].get_xlabel()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_nonfinite_entries_are_counted_in_the_caption(value: float) -> None:
    J = torch.randn(5, 5)
    J[1, 2] = value
    figure = plot(J)

    assert "1 entry is not finite" in figure.axes[0].get_xlabel()
    assert saved(figure) > 1000


@pytest.mark.parametrize(
    "J",
    [
        torch.zeros(3, 3),
        torch.full((3, 3), torch.nan),
        torch.tensor(2.0),
        torch.randn(1, 500),
        torch.randn(500, 1),
        torch.randn(4, 4, requires_grad=True),
        torch.randn(4, 4, dtype=torch.bfloat16),
        torch.full((4, 4), 1e300, dtype=torch.float64),
        torch.eye(4).to_sparse(),
    ],
)
def test_unusual_jacobians_are_drawn(J: Tensor) -> None:
    assert saved(plot(J)) > 1000


def test_the_jacobian_is_not_modified() -> None:
    J = torch.randn(1500, 3)
    before = J.clone()
    plot(J)

    assert torch.equal(J, before)


@pytest.mark.parametrize(
    "options", [{"batch_dim": 1}, {"batch_dim": False}, {"sparse": "yes"}]
)
def test_options_out_of_range_are_rejected(options: dict[str, Any]) -> None:
    with pytest.raises(jacengine.ArgumentError, match=next(iter(options))):
        plot(torch.randn(2, 3), **options)
