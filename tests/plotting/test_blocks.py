import pytest
import torch
from torch import Tensor

import jacengine
from jacengine.plotting.blocks import block_matrix


def entries(*shape: int) -> Tensor:
    size = torch.Size(shape).numel()
    return torch.arange(1.0, size + 1).reshape(shape)


def test_a_matrix_is_itself() -> None:
    J = entries(2, 3)
    blocks = block_matrix(J, None, None)

    assert torch.equal(blocks.matrix, J)
    assert [block.shape for block in (*blocks.rows, *blocks.columns)] == [(2,), (3,)]
    assert blocks.samples is None


def test_samples_are_stacked_vertically() -> None:
    J = entries(4, 2, 3, 5)
    blocks = block_matrix(J, 0, None)

    assert blocks.samples == 4
    assert torch.equal(blocks.matrix, J.reshape(8, 15))
    assert blocks.columns[0].shape == (3, 5)


@pytest.mark.parametrize(
    ("shape", "batch_dim", "out_ndim", "expected"),
    [
        ((7,), None, None, (1, 7)),
        ((7,), None, 1, (7, 1)),
        ((7,), 0, None, (7, 1)),
        ((), None, None, (1, 1)),
        ((2, 3, 4, 5), None, 2, (6, 20)),
        ((2, 3, 4, 5), None, None, (2, 60)),
        ((2, 3, 4, 5), 0, 0, (2, 60)),
    ],
)
def test_axes_of_outputs_come_first(
    shape: tuple[int, ...],
    batch_dim: int | None,
    out_ndim: int | None,
    expected: tuple[int, int],
) -> None:
    assert block_matrix(entries(*shape), batch_dim, out_ndim).matrix.shape == expected


def test_parameters_are_stacked_horizontally() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    J = jacengine.auto(model, torch.randn(5, 3), wrt="params", batch_dim=0)
    blocks = block_matrix(J, 0, None)

    assert [(c.name, c.size) for c in blocks.columns] == [
        ("0.weight", 12),
        ("0.bias", 4),
        ("1.weight", 8),
        ("1.bias", 2),
    ]
    assert blocks.matrix.shape == (10, 26)
    expected = torch.cat([J[name].reshape(10, -1) for name in J], dim=1)
    assert torch.equal(blocks.matrix, expected)


def test_a_scalar_of_every_sample_is_one_row_each() -> None:
    blocks = block_matrix({"w": entries(6, 5, 7), "b": entries(6, 5)}, 0, None)

    assert blocks.matrix.shape == (6, 40)


def test_outputs_are_stacked_vertically() -> None:
    first, second = entries(2, 4), entries(3, 4)
    blocks = block_matrix({"y": first, "z": second}, None, None)

    assert [row.name for row in blocks.rows] == ["y", "z"]
    assert torch.equal(blocks.matrix, torch.cat([first, second]))


def test_inputs_of_outputs_are_a_grid() -> None:
    J = ((entries(2, 3), entries(2, 5)), (entries(4, 3), entries(4, 5)))
    blocks = block_matrix(J, None, None)

    assert [row.size for row in blocks.rows] == [2, 4]
    assert [column.size for column in blocks.columns] == [3, 5]
    assert torch.equal(blocks.matrix[2:, 3:], J[1][1])


def test_nested_inputs_are_named_by_their_path() -> None:
    J = {"a": {"x": entries(2, 3)}, "b": {"y": entries(2, 4)}}

    assert [c.name for c in block_matrix(J, None, None).columns] == ["a.x", "b.y"]


@pytest.mark.parametrize(
    ("J", "message"),
    [
        (torch.zeros(2, 2, dtype=torch.complex64), "complex64"),
        (torch.zeros(2, 2, dtype=torch.int64), "int64"),
        ([[1.0, 2.0]], "float in J"),
        ("J", "str in J"),
        (None, "None in J"),
        ({"a": None}, "None in J"),
    ],
)
def test_other_than_real_tensors_are_rejected(J: object, message: str) -> None:
    with pytest.raises(jacengine.InputTypeError, match=message):
        block_matrix(J, None, None)


@pytest.mark.parametrize(
    ("J", "message"),
    [
        ({}, "no tensor"),
        ([], "no tensor"),
        ([[], []], "no tensor"),
        (torch.zeros(0, 3), "no entries"),
        (torch.zeros(3, device="meta"), "no entries"),
        ((entries(2, 3), entries(4, 5)), "block matrix"),
        (
            ((entries(2, 3), entries(2, 5)), (entries(4, 3), entries(4, 6))),
            "block matrix",
        ),
    ],
)
def test_other_than_one_matrix_is_rejected(J: object, message: str) -> None:
    with pytest.raises(jacengine.ArgumentError, match=message):
        block_matrix(J, None, None)


def test_samples_must_agree() -> None:
    with pytest.raises(jacengine.ArgumentError, match="block matrix"):
        block_matrix((entries(2, 3, 4), entries(5, 3, 4)), 0, None)


@pytest.mark.parametrize(
    ("batch_dim", "out_ndim"), [(None, 3), (0, 2), (None, -1), (0, -1)]
)
def test_impossible_axes_are_rejected(batch_dim: int | None, out_ndim: int) -> None:
    with pytest.raises(jacengine.ArgumentError, match="out_ndim"):
        block_matrix(entries(2, 3), batch_dim, out_ndim)


def test_a_scalar_has_no_sample_axis() -> None:
    with pytest.raises(jacengine.ArgumentError, match="sample axis"):
        block_matrix(torch.tensor(1.0), 0, None)
