"""Where samples depend on each other, the operator and the line are named."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from tests.problems import randn


def centred(x: Tensor) -> Tensor:
    y = x.sin()
    return y - y.mean(0)  # here


def deep(x: Tensor) -> Tensor:
    return centred(2 * x).exp()


@pytest.mark.parametrize("fn", [centred, deep])
def test_the_line_is_named(fn: Any) -> None:
    said = r"aten\.mean\.dim, in test_analysis\.py, line 15: return y - y\.mean\(0\)"
    with pytest.raises(jacengine.CoupledSamplesError, match=said):
        jacengine.auto(fn, randn(5, 3), batch_dim=0)
    with pytest.raises(jacengine.CoupledSamplesError, match=said):
        jacengine.jacobian(fn, randn(5, 3), batch_dim=0, strategy="vmap_vjp")
    with pytest.raises(jacengine.CoupledSamplesError, match=said):
        jacengine.sparsity(fn, randn(5, 3), batch_dim=0)


def test_samples_along_another_axis() -> None:
    with pytest.raises(jacengine.CoupledSamplesError, match=r"It is aten\._softmax"):
        jacengine.auto(lambda x: x.softmax(1).T, randn(3, 5), batch_dim=(1,))


def test_attention_over_the_batch() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, dropout=0.0)
    with pytest.raises(jacengine.CoupledSamplesError, match="dot_product"):
        jacengine.auto(layer, torch.randn(5, 3, 4), batch_dim=0)


def test_without_a_program_it_is_told_as_before() -> None:
    def branching(x: Tensor) -> Tensor:
        return x - x.mean(0) if float(x.detach().sum()) < 1e9 else x

    with pytest.raises(
        jacengine.CoupledSamplesError, match="mixes the batch"
    ) as raised:
        jacengine.auto(branching, randn(5, 3), batch_dim=0)
    assert "It is" not in str(raised.value)
