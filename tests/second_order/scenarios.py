"""What the contract of second derivatives is held on: small calls of every kind.

Most are those of the first-order contract; a Hessian has as many more entries that of
the larger ones small relatives stand here. Functions that are linear in what is varied
are among them on purpose: their Hessian is zero.
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from jacengine.problem.quantity import Quantity
from tests.contract.build_problem import (
    function,
    inputs_and_params,
    module,
    randn,
    scenario,
)
from tests.contract.scenario import Case, Scenario
from tests.contract.scenarios import SCENARIOS as FIRST_ORDER

NAMES = """
scalar_output zero_dim_input strided_small expanded_small
input_requires_grad input_not_a_leaf batched_function batch_of_one
batched_scalar_output batch_of_scalars channels_last_small
second_argument tuple_of_one_argument all_inputs_of_one
all_inputs_but_indices dict_output namedtuple_in_and_out dataclass_batched
namedtuple_batched integer_side_input_batched boolean_mask_shared integer_leaf_in_dict
keyword_arguments keyword_batched keyword_shared same_tensor_twice_both aux_batched
shared_argument shared_argument_small batch_on_last_axis
rows_index rows_repeated rows_slice columns_index columns_slice rows_and_columns
columns_batched rows_and_columns_batched
where_masked_batched cumsum sort_batched maximum solve_small fft_batched
complex_inside index_put_into_zeros scatter_add_batched softmax_batched cdist_small
independent_output partly_independent unused_argument identity_batched
input_among_outputs_batched no_grad_block no_grad_block_batched detach
detach_batched data_dependent_branch data_dependent_loop closure_requires_grad_batched
old_style_function_batched new_style_function_batched function_with_vmap_rule
checkpoint_batched in_place in_place_batched in_place_into_zeros_batched
pendulum_batched arm pinn_space mlp_inputs scalar_mlp_inputs two_heads_inputs
layer_norm_inputs batch_norm_eval_inputs prelu_inputs inplace_relu_inputs
dropout_eval_inputs dropout_inputs quadratic_form embedding_side_input module_keywords
linear_batch_of_one embedding_small embedding_padded rms_norm_params
prelu_shared_params module_called_small tied_small alias_small tied_alias_small
functional_small frozen_small parameter_name unused_small weight_norm_small
conv_inputs conv_params lstm_small_inputs lstm_small_params attention_inputs
attention_params encoder_inputs mixed_dtype mixed_dtype_flat float32_function
scalars_of_one_sample dropout_small_params batch_norm_train_params
columns_of_small_params rows_of_small_params
scalar_to_scalar empty_input empty_output empty_batch
"""


class _Twice(nn.Module):
    """Calls one layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(torch.tanh(self.layer(x)))
        return out[:, 0]


class _Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.second = nn.Linear(2, 2, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(torch.tanh(self.first(x)))
        return out[:, :1]


class _Aliased(nn.Module):
    """One layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2, bias=False)
        self.second = self.first

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(torch.tanh(self.first(x)))
        return out[:, 1]


class _Functional(nn.Module):
    """Uses the weight of a layer that is never called, and penalises it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.idle = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(x @ self.layer.weight.t() + self.layer.bias)
        return hidden[:, 0] * self.layer.weight.square().sum()


class _Recurrent(nn.Module):
    """The last output of an LSTM with one cell."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.LSTM(1, 1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)[0]
        return out[:, -1]


class _Attention(nn.Module):
    """What the last token attends to, by one head or two."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(2, 2, bias=False, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.attention(x, x, x, need_weights=False)[0]
        return out[:, -1, 0]


def _conv() -> nn.Module:
    return nn.Sequential(nn.Conv1d(1, 2, 2), nn.Tanh(), nn.Conv1d(2, 1, 1))


def _encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(2, 1, 2, dropout=0.0, batch_first=True)
    return nn.Sequential(layer.eval(), nn.Flatten(), nn.Linear(4, 1))


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))


def _dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.4), nn.Tanh(), nn.Linear(3, 1))


def _embedding() -> nn.Module:
    return nn.Sequential(nn.Embedding(3, 2), nn.Tanh(), nn.Linear(2, 1, bias=False))


def _frozen() -> nn.Module:
    model = _mlp()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in {"0.bias", "2.weight"})
    return model


def _weight_norm() -> nn.Module:
    layer = nn.Linear(2, 1, bias=False)
    return nn.Sequential(nn.utils.parametrizations.weight_norm(layer), nn.Tanh())


def _tokens() -> Case:
    model = _embedding().double()
    return Case(model, (torch.tensor([[2, 0, 2], [1, 1, 1]]),))


def _channels_last() -> Case:
    images = randn(2, 2, 2, 2).to(memory_format=torch.channels_last)
    return Case(lambda x: x.tanh().square().sum((1, 2)), (images,))


def _strided() -> Case:
    return Case(_flattened, (randn(4, 2)[::2].t(),))


def _expanded() -> Case:
    return Case(_flattened, (randn(2, 1).expand(2, 2),))


def _flattened(x: Tensor) -> Tensor:
    flat = x.reshape(-1)
    return (flat[1:] * flat[:-1]).sin().sum() + flat[0] ** 3


def _affine(x: Tensor, matrix: Tensor) -> Tensor:
    return (x @ matrix).tanh()


def _solve(x: Tensor) -> Tensor:
    matrix = x + 4.0 * torch.eye(2, dtype=x.dtype)
    out: Tensor = torch.linalg.solve(matrix, torch.ones(2, 1, dtype=x.dtype))
    return out


def _cdist(x: Tensor) -> Tensor:
    return torch.cdist(x, torch.ones(1, 2, dtype=x.dtype)).flatten(-2)


def _mixed(x: Tensor, y: Tensor) -> Tensor:
    return (x.double() * y.sum(-1, keepdim=True)).sin().sum(-1) * y.prod(-1)


def _two_kinds() -> Case:
    return Case(_mixed, (randn(3, 2).float(), randn(3, 2)))


def _scalars(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return (x * y).sin(), (x**2 * y).exp()


_PARAMS: dict[str, Any] = {"wrt": "params", "batch_dim": 0}

OWN: tuple[Scenario, ...] = (
    scenario("strided_small", _strided),
    scenario("expanded_small", _expanded),
    scenario("channels_last_small", _channels_last, batch_dim=0),
    function(
        "shared_argument_small",
        *(_affine, (3, 2), (2, 1)),
        wrt=(0, 1),
        batch_dim=(0, None),
    ),
    function("solve_small", _solve, (2, 2, 2), batch_dim=0),
    function("cdist_small", _cdist, (2, 2, 2), batch_dim=0),
    scenario("embedding_small", _tokens, "embedding", wrt=["0.weight"], batch_dim=0),
    module("module_called_small", _Twice, (3, 2), tags="shared", **_PARAMS),
    module("tied_small", _Tied, (3, 2), tags="tied", **_PARAMS),
    module("alias_small", _Aliased, (3, 2), tags="shared", **_PARAMS),
    module("tied_alias_small", _Tied, (3, 2), wrt=["second.weight", "first.bias"]),
    module("functional_small", _Functional, (2, 2), **_PARAMS),
    module("unused_small", _Functional, (2, 2), wrt=["idle"], batch_dim=0),
    module("frozen_small", _frozen, (3, 2), **_PARAMS),
    module("weight_norm_small", _weight_norm, (3, 2), **_PARAMS),
    *inputs_and_params("conv", _conv, (2, 1, 3), tags="conv"),
    *inputs_and_params("lstm_small", _Recurrent, (2, 2, 1), tags="recurrent"),
    *inputs_and_params("attention", _Attention, (1, 2, 2), tags="attention"),
    module("encoder_inputs", _encoder, (2, 2, 2), tags="attention norm", batch_dim=0),
    scenario("mixed_dtype", _two_kinds, "float32", wrt=(0, 1), batch_dim=0),
    scenario("mixed_dtype_flat", _two_kinds, "float32", wrt=1, batch_dim=0),
    function("scalars_of_one_sample", _scalars, (3,), (3,), wrt=(0, 1), batch_dim=0),
    module("dropout_small_params", _dropout, (3, 2), randomness="same", **_PARAMS),
    module("columns_of_small_params", _mlp, (2, 2), columns=slice(2, 8), **_PARAMS),
    module("rows_of_small_params", _mlp, (2, 2), rows=slice(1, None, 3), **_PARAMS),
)

_BY_NAME = {one.name: one for one in (*FIRST_ORDER, *OWN)}
SCENARIOS: tuple[Scenario, ...] = tuple(_BY_NAME[name] for name in NAMES.split())


def case_of(one: Scenario, quantity: Quantity) -> Case:
    """Build a scenario's case; diagonals and traces have no rows to choose."""
    case = one.build()
    if quantity == "hessian":
        return case
    options = {k: v for k, v in case.options.items() if k != "rows"}
    return dataclasses.replace(case, options=options)


def chooses_rows_alone(one: Scenario) -> bool:
    """Say whether a scenario is about rows, which diagonals do not have."""
    return one.name.startswith("rows_") and "columns" not in one.name
