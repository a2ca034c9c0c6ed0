"""A classifier's loss, by its parameters."""

from __future__ import annotations

from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor, nn

from jacengine.bench.peers import peer
from jacengine.bench.workload import Question, Twin, Workload, seeded
from jacengine.bench.workloads.arrays import array, arrays
from jacengine.bench.workloads.datasets import digits, digits_shown
from jacengine.bench.workloads.perceptrons import applied, mlp
from jacengine.problem.quantity import Quantity

_IMAGES = 128


class _Loss(nn.Module):
    """The mean cross entropy of a network's classes."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.network = mlp(64, hidden, 10)

    def forward(self, images: Tensor, shown: Tensor) -> Tensor:
        return F.cross_entropy(self.network(images), shown)


def _loss(hidden: int, quantity: Quantity) -> Question:
    args = (digits()[:_IMAGES], digits_shown()[:_IMAGES])
    return Question(_Loss(hidden), args, "params", batch_dim=None, quantity=quantity)


def _hessian(hidden: int) -> Question:
    return _loss(hidden, "hessian")


def _diagonal(hidden: int) -> Question:
    return _loss(hidden, "hessian_diagonal")


def _loss_twin(question: Question) -> Twin:
    jax, jnp = peer("jax"), peer("jax.numpy")

    module = cast("_Loss", question.fn)
    apply = jax.vmap(applied(len(module.network)), in_axes=(None, 0))

    def loss(named: dict[str, Any], images: Any, shown: Any) -> Any:
        params = {name.removeprefix("network."): value for name, value in named.items()}
        logs = jax.nn.log_softmax(apply(params, images))
        return -logs[jnp.arange(len(shown)), shown].mean()

    images, shown = question.args
    rest = (array(images), array(shown))
    return Twin(loss, arrays(module), rest, (None, None, None))


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
        build=seeded(_hessian),
        twin=_loss_twin,
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
        build=seeded(_diagonal),
        twin=_loss_twin,
    ),
)
"""A classifier's loss, by its parameters."""
