"""A classifier's loss, by its parameters."""

from __future__ import annotations

from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor, nn

from jacengine.bench.optional_libraries import load
from jacengine.bench.workload import DerivativeSpec, JaxFunction, Workload, seeded
from jacengine.bench.workloads.datasets import digit_labels, digits
from jacengine.bench.workloads.jax_functions import in_jax
from jacengine.bench.workloads.perceptrons import jax_mlp, mlp
from jacengine.problem.quantity import Quantity

_IMAGES = 128


class _Loss(nn.Module):
    """The mean cross entropy of a network's classes."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.network = mlp(64, hidden, 10)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.network(images), labels)


def _loss(hidden: int, quantity: Quantity) -> DerivativeSpec:
    args = (digits()[:_IMAGES], digit_labels()[:_IMAGES])
    return DerivativeSpec(
        _Loss(hidden), args, "params", batch_dim=None, quantity=quantity
    )


def _loss_in_jax(spec: DerivativeSpec) -> JaxFunction:
    jax, jnp = load("jax"), load("jax.numpy")

    module = cast("_Loss", spec.fn)
    apply = jax.vmap(jax_mlp(len(module.network), "network."), in_axes=(None, 0))

    def loss(params: dict[str, Any], images: Any, labels: Any) -> Any:
        logs = jax.nn.log_softmax(apply(params, images))
        return -logs[jnp.arange(len(labels)), labels].mean()

    return in_jax(spec, loss, module)


LOSSES: tuple[Workload, ...] = (
    Workload(
        name="classifier_hessian",
        origin="Mean cross entropy of MLP 64-h-10 on 128 of scikit-learn's digits "
        "(random images where that is not installed); B. Ghorbani, S. Krishnan, Y. "
        "Xiao, 2019, https://arxiv.org/abs/1901.10159",
        use="The loss's Hessian by the weights, for its spectrum, for influence "
        "functions and for Laplace approximations.",
        parameter="hidden units h",
        sizes=(4, 8, 16),
        tiny=2,
        build=seeded(lambda hidden: _loss(hidden, "hessian")),
        jax_function=_loss_in_jax,
    ),
    Workload(
        name="loss_diagonal",
        origin="Mean cross entropy of MLP 64-h-10 on 128 of scikit-learn's digits "
        "(random images where that is not installed); Y. LeCun, J. Denker, S. Solla, "
        "Optimal brain damage, 1990",
        use="Pruning removes the weights whose second derivatives say that the loss "
        "would hardly grow.",
        parameter="hidden units h",
        sizes=(8, 16, 32),
        tiny=2,
        build=seeded(lambda hidden: _loss(hidden, "hessian_diagonal")),
        jax_function=_loss_in_jax,
    ),
)
