"""Parameter Jacobians, per sample, of single layers that PyTorch brings along."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from tests.contract.build_problem import module, params, perturbed, randn, scenario
from tests.contract.scenario import Case, Scenario

_PARAMS: dict[str, Any] = {"wrt": "params", "batch_dim": 0}


def _linear_jacobian(case: Case) -> dict[str, Tensor]:
    """Return d(Wx + b): the input in the row of W that makes the output, and one."""
    x = cast("Tensor", case.args[0])
    eye = torch.eye(2, dtype=x.dtype)
    weight = torch.einsum("op,bi->bopi", eye, x)
    return {"weight": weight, "bias": eye.expand(len(x), 2, 2)}


def _prelu_jacobian(case: Case) -> dict[str, Tensor]:
    x = cast("Tensor", case.args[0])
    return {"weight": x.clamp(max=0.0).diag_embed()}


def _layer_norm_jacobian(case: Case) -> dict[str, Tensor]:
    x = cast("Tensor", case.args[0])
    centred = x - x.mean(-1, keepdim=True)
    scale = (centred.square().mean(-1, keepdim=True) + 1e-5).rsqrt()
    weight = (centred * scale).diag_embed()
    return {"weight": weight, "bias": torch.eye(4, dtype=x.dtype).expand_as(weight)}


def _repeated_tokens() -> Case:
    indices = torch.tensor([[3, 1, 1, 0], [2, 3, 3, 3]])
    return Case(perturbed(nn.Embedding(5, 3)), (indices,))


def _padded_tokens() -> Case:
    indices = torch.tensor([[3, 1, 1], [1, 0, 3]])
    return Case(perturbed(nn.Embedding(4, 2, padding_idx=1)), (indices,))


def _one_token() -> Case:
    return Case(perturbed(nn.Embedding(4, 3)), (torch.tensor([2, 0, 2, 3, 1]),))


def _bags() -> Case:
    indices = torch.tensor([[3, 1, 1, 0], [2, 2, 4, 3]])
    return Case(perturbed(nn.EmbeddingBag(5, 3, mode="mean")), (indices,))


def _summed_bags() -> Case:
    indices = torch.tensor([[3, 1, 1, 0], [2, 2, 4, 3]])
    return Case(perturbed(nn.EmbeddingBag(5, 3, mode="sum")), (indices,))


def _unbatched_linear() -> Case:
    return Case(perturbed(nn.Linear(3, 2)), (randn(3),))


SCENARIOS: tuple[Scenario, ...] = (
    module(
        "linear_params",
        lambda: nn.Linear(3, 2),
        (4, 3),
        reference=_linear_jacobian,
        **_PARAMS,
    ),
    params("linear_without_bias", lambda: nn.Linear(3, 2, bias=False), (4, 3)),
    params("linear_on_sequences", lambda: nn.Linear(3, 2), (2, 5, 3)),
    params("linear_on_images", lambda: nn.Linear(4, 2), (2, 3, 2, 4)),
    params("linear_batch_of_one", lambda: nn.Linear(3, 2), (1, 3)),
    module("linear_whole_params", lambda: nn.Linear(3, 2), (4, 3), wrt="params"),
    scenario("linear_unbatched_params", _unbatched_linear, wrt="params"),
    params("bilinear_params", lambda: nn.Bilinear(3, 4, 2), (5, 3), (5, 4)),
    scenario("embedding", _one_token, "embedding", **_PARAMS),
    scenario("embedding_repeated", _repeated_tokens, "embedding", **_PARAMS),
    scenario("embedding_padded", _padded_tokens, "embedding stop_gradient", **_PARAMS),
    scenario("embedding_bag_mean", _bags, "embedding", **_PARAMS),
    scenario("embedding_bag_sum", _summed_bags, "embedding", **_PARAMS),
    module(
        "layer_norm_params",
        lambda: nn.LayerNorm(4),
        (3, 4),
        tags="norm",
        reference=_layer_norm_jacobian,
        **_PARAMS,
    ),
    params("layer_norm_sequences", lambda: nn.LayerNorm(4), (2, 3, 4), tags="norm"),
    params("layer_norm_two_axes", lambda: nn.LayerNorm([3, 4]), (2, 3, 4), tags="norm"),
    params("rms_norm_params", lambda: nn.RMSNorm(4), (2, 3, 4), tags="norm"),
    params("group_norm_params", lambda: nn.GroupNorm(2, 4), (3, 4, 2), tags="norm"),
    params("group_norm_images", lambda: nn.GroupNorm(3, 6), (2, 6, 2, 3), tags="norm"),
    params(
        "instance_norm_params",
        lambda: nn.InstanceNorm1d(3, affine=True),
        (2, 3, 5),
        tags="norm",
    ),
    params(
        "instance_norm_images",
        lambda: nn.InstanceNorm2d(2, affine=True),
        (3, 2, 2, 4),
        tags="norm",
    ),
    params(
        "batch_norm_eval_params",
        lambda: nn.BatchNorm1d(3).eval(),
        (4, 3),
        tags="norm",
    ),
    params(
        "batch_norm_images_eval_params",
        lambda: nn.BatchNorm2d(3).eval(),
        (2, 3, 2, 4),
        tags="norm",
    ),
    params(
        "batch_norm_train_params",
        lambda: nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Tanh()),
        (4, 3),
        tags="norm coupled",
    ),
    params(
        "batch_norm_without_statistics_params",
        lambda: nn.BatchNorm2d(2, track_running_stats=False),
        (3, 2, 2, 1),
        tags="norm coupled",
    ),
    module(
        "prelu_params",
        lambda: nn.PReLU(3),
        (4, 3),
        reference=_prelu_jacobian,
        **_PARAMS,
    ),
    module(
        "prelu_square_params",
        lambda: nn.PReLU(3),
        (3, 3),
        reference=_prelu_jacobian,
        **_PARAMS,
    ),
    params("prelu_shared_params", nn.PReLU, (4, 3)),
    params("prelu_images_params", lambda: nn.PReLU(2), (3, 2, 2, 4)),
)
