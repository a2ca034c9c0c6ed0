"""Some rows, some columns: index tensors and slices, over trees and over samples."""

from typing import Any

import torch
from torch import Tensor, nn

from tests.contract.build_problem import function, module, randn, scenario
from tests.contract.scenario import Case, Scenario

_ROWS = torch.tensor([4, 0, 3])
_REPEATED = torch.tensor([1, 5, 1, 1])
_COLUMNS = torch.tensor([5, 2])


def _outer(x: Tensor) -> Tensor:
    return torch.stack([x.sin().sum(1), x.prod(1), x[:, 0] * x[:, 2]])


def _several(x: Tensor, y: Tensor) -> dict[str, Tensor]:
    return {"z": torch.outer(x, y).sin(), "a": x.sum() * y, "m": x.prod() * y.prod()}


def _tree(tree: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    x, y = tree["z"], tree["a"]
    return torch.outer(x, y.exp()), x.square() + y.sum()


def _batched(x: Tensor) -> Tensor:
    return torch.stack([x.sin().sum(1), x.prod(1), x[:, 0] * x[:, 1]], dim=1)


def _batched_tree(x: Tensor, y: Tensor) -> list[Tensor]:
    return [x.unsqueeze(2) * y.unsqueeze(1), x.sum(1).exp() * y.prod(1)]


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 5))


def _conv() -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(12, 5))


def _tree_case() -> Case:
    tree = {"z": randn(3), "index": torch.tensor([0, 1]), "a": randn(4)}
    return Case(_tree, (tree,))


_BATCH: dict[str, Any] = {"batch_dim": 0}
_PARAMS: dict[str, Any] = {"wrt": "params", "batch_dim": 0}

SCENARIOS: tuple[Scenario, ...] = (
    function("rows_index", _outer, (2, 3), rows=_ROWS),
    function("rows_repeated", _outer, (2, 3), rows=_REPEATED),
    function("rows_slice", _outer, (2, 3), rows=slice(1, None, 2)),
    function("rows_none", _outer, (2, 3), rows=slice(0, 0), tags="empty"),
    function("columns_index", _outer, (2, 3), columns=_COLUMNS),
    function("columns_repeated", _outer, (2, 3), columns=_REPEATED),
    function("columns_slice", _outer, (2, 3), columns=slice(1, 5)),
    function("columns_all", _outer, (2, 3), columns=slice(None)),
    function(
        "rows_and_columns", _outer, (2, 3), rows=_ROWS, columns=slice(None, None, 3)
    ),
    function(
        "rows_of_tree", _several, (3,), (4,), tags="pytree", rows=slice(9, 15), wrt=1
    ),
    function(
        "rows_of_tree_all_inputs",
        *(_several, (3,), (4,)),
        tags="pytree",
        rows=torch.tensor([16, 2, 12, 13]),
        wrt="inputs",
    ),
    function(
        "columns_of_tree",
        *(_several, (3,), (4,)),
        tags="pytree",
        columns=slice(2, 5),
        wrt=(1, 0),
    ),
    scenario(
        "rows_and_columns_of_trees",
        _tree_case,
        "pytree side_input",
        rows=torch.tensor([14, 1, 11]),
        columns=slice(1, 6),
    ),
    function("rows_batched", _batched, (4, 2), rows=torch.tensor([2, 0]), **_BATCH),
    function("columns_batched", _batched, (4, 3), columns=slice(0, 2), **_BATCH),
    function(
        "rows_and_columns_batched",
        *(_batched_tree, (5, 3), (5, 2)),
        tags="pytree",
        wrt=(0, 1),
        rows=torch.tensor([6, 1, 4]),
        columns=torch.tensor([3, 0]),
        **_BATCH,
    ),
    module("rows_of_mlp", _mlp, (2, 3), rows=torch.tensor([3, 1]), **_BATCH),
    module("columns_of_conv", _conv, (3, 2, 3, 3), columns=slice(3, 17, 4), **_BATCH),
    module("rows_of_params", _mlp, (2, 3), rows=torch.tensor([3, 1]), **_PARAMS),
    module("rows_of_conv_params", _conv, (3, 2, 3, 3), rows=slice(2, 4), **_PARAMS),
    module("columns_of_params", _mlp, (2, 3), columns=slice(10, 20), **_PARAMS),
    module(
        "rows_and_columns_of_params",
        *(_mlp, (2, 3)),
        rows=slice(0, 5, 2),
        columns=torch.tensor([40, 3, 13]),
        **_PARAMS,
    ),
    module(
        "rows_of_whole_params", _mlp, (2, 3), wrt="params", rows=torch.tensor([7, 2])
    ),
)
