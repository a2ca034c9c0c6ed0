"""Input Jacobians of networks without recurrence or attention."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.contract.build_problem import (
    function,
    inputs_and_params,
    module,
    perturbed,
    randn,
    scenario,
)
from tests.contract.scenario import Case, Scenario


class _ResidualBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(2)
        self.conv2 = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.norm1(self.conv1(x)))
        hidden = self.norm2(self.conv2(hidden)) + x
        return F.relu(hidden)


class _Squeezed(nn.Module):
    """An MLP with one number a sample, without an axis for it."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out.squeeze(-1)


class _TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.mean = nn.Linear(4, 2)
        self.scale = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = torch.tanh(self.body(x))
        return {"scale": F.softplus(self.scale(hidden)), "mean": self.mean(hidden)}


class _Conditioned(nn.Module):
    """A network with an integer input beside the one to differentiate."""

    def __init__(self) -> None:
        super().__init__()
        self.classes = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        out: Tensor = self.head(torch.tanh(x * self.classes(label)))
        return out


class _Scaled(nn.Module):
    """A network with keyword arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 4)

    def forward(self, x: Tensor, *, scale: Tensor, squared: bool = False) -> Tensor:
        out = torch.tanh(self.body(x) * scale)
        return out.square() if squared else out


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4))


def _relu_mlp() -> nn.Module:
    return nn.Sequential(
        *(
            nn.Linear(3, 6),
            nn.ReLU(),
            nn.Linear(6, 5),
            nn.GELU(),
            nn.Linear(5, 2),
        )
    )


def _cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(3, 2, 2), nn.Tanh(), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.Linear(2, 4)),
    )


def _strided_cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, dilation=2, groups=2, padding=1), nn.Tanh()
    )


def _transposed_cnn() -> nn.Module:
    return nn.Sequential(nn.ConvTranspose2d(3, 2, 2, stride=2), nn.Tanh())


def _group_norm() -> nn.Module:
    return nn.Sequential(nn.Conv1d(2, 4, 2), nn.GroupNorm(2, 4), nn.Sigmoid())


def _layer_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.SiLU())


def _batch_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Tanh())


def _autoencoder() -> nn.Module:
    encoder = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2))
    decoder = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 6))
    return nn.Sequential(encoder, decoder)


def _dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 6), nn.Dropout(0.4), nn.Tanh(), nn.Linear(6, 2))


def _inplace_relu() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(inplace=True), nn.Linear(5, 2))


def _linear_case() -> Case:
    return Case(perturbed(nn.Linear(4, 3)), (randn(4),))


def _linear_batch() -> Case:
    return Case(perturbed(nn.Linear(4, 3)), (randn(5, 4),))


def _weight(case: Case) -> Tensor:
    return cast("nn.Linear", case.fn).weight.detach()


def _weights(case: Case) -> Tensor:
    return _weight(case).expand(len(case.args[0]), -1, -1)


def _quadratic(x: Tensor, matrix: Tensor) -> Tensor:
    return x @ matrix @ x


def _quadratic_gradient(case: Case) -> Tensor:
    x, matrix = cast("tuple[Tensor, Tensor]", case.args)
    return (matrix + matrix.mT) @ x


def _conditioned() -> Case:
    labels = torch.tensor([4, 0, 4, 2])
    return Case(perturbed(_Conditioned()), (randn(4, 3), labels))


def _keywords() -> Case:
    kwargs = {"scale": randn(2, 1), "squared": True}
    return Case(perturbed(_Scaled()), (randn(2, 3),), kwargs)


_SAME: dict[str, Any] = {"randomness": "same"}

SCENARIOS: tuple[Scenario, ...] = (
    module("mlp_whole", _mlp, (3,)),
    module("mlp_whole_batch", _mlp, (2, 3)),
    *inputs_and_params("mlp", _mlp, (2, 3)),
    *inputs_and_params("relu_mlp", _relu_mlp, (4, 3)),
    *inputs_and_params("scalar_mlp", _Squeezed, (4, 3)),
    *inputs_and_params("two_heads", _TwoHeads, (5, 3), tags="pytree"),
    *inputs_and_params("cnn", _cnn, (2, 1, 8, 7), tags="conv"),
    module("cnn_whole", _cnn, (1, 1, 8, 7), tags="conv"),
    module("strided_cnn_inputs", _strided_cnn, (2, 2, 7, 6), tags="conv", batch_dim=0),
    module(
        "transposed_cnn_inputs", _transposed_cnn, (2, 3, 2, 3), tags="conv", batch_dim=0
    ),
    *inputs_and_params(
        "residual_block",
        lambda: _ResidualBlock().eval(),
        (3, 2, 3, 4),
        tags="conv norm",
    ),
    module("group_norm_inputs", _group_norm, (3, 2, 5), tags="norm", batch_dim=0),
    module("layer_norm_inputs", _layer_norm, (2, 3), tags="norm", batch_dim=0),
    module(
        "batch_norm_eval_inputs",
        lambda: _batch_norm().eval(),
        (4, 3),
        tags="norm",
        batch_dim=0,
    ),
    module("batch_norm_train_whole", _batch_norm, (4, 3), tags="norm coupled"),
    module("prelu_inputs", lambda: nn.PReLU(3), (4, 3), batch_dim=0),
    module("prelu_square_inputs", lambda: nn.PReLU(3), (3, 3), batch_dim=0),
    module("prelu_shared_inputs", nn.PReLU, (4, 3), batch_dim=0),
    module("autoencoder_inputs", _autoencoder, (3, 6), batch_dim=0),
    module("inplace_relu_inputs", _inplace_relu, (4, 3), batch_dim=0),
    module("dropout_eval_inputs", lambda: _dropout().eval(), (4, 3), batch_dim=0),
    module("dropout_inputs", _dropout, (4, 3), batch_dim=0, **_SAME),
    module("dropout_whole", _dropout, (2, 3), **_SAME),
    module("dropout_params", _dropout, (4, 3), batch_dim=0, wrt="params", **_SAME),
    module("module_batch_of_one", _mlp, (1, 3), batch_dim=0),
    scenario("linear_map", _linear_case, reference=_weight),
    scenario("linear_map_batched", _linear_batch, reference=_weights, batch_dim=0),
    function("quadratic_form", _quadratic, (4,), (4, 4), reference=_quadratic_gradient),
    scenario("embedding_side_input", _conditioned, "side_input", batch_dim=0),
    scenario("module_keywords", _keywords, "side_input", batch_dim=0),
    scenario(
        "module_keywords_params",
        _keywords,
        "side_input",
        batch_dim=0,
        wrt="params",
    ),
)
