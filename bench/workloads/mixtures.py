"""A Gaussian mixture's log-likelihood, by its parameters."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from jacengine.bench.peers import peer
from jacengine.bench.workload import Question, Twin, Workload, seeded
from jacengine.bench.workloads.arrays import array, arrays


class _Mixture(nn.Module):
    """Log-density of a mixture of Gaussians with diagonal covariances."""

    def __init__(self, components: int, dimension: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.randn(components))
        self.means = nn.Parameter(torch.randn(components, dimension))
        self.log_scales = nn.Parameter(torch.randn(components, dimension) / 4)

    def joint(self, x: Tensor) -> Tensor:
        """Return the log-density of `x` and each component."""
        deviations = (x.unsqueeze(-2) - self.means) / self.log_scales.exp()
        exponents = -(deviations**2) / 2 - self.log_scales
        constant = math.log(2 * math.pi) * x.shape[-1] / 2
        return self.logits.log_softmax(0) + exponents.sum(-1) - constant

    def forward(self, x: Tensor) -> Tensor:
        return self.joint(x).logsumexp(-1)


def _mixture(samples: int) -> Question:
    return Question(_Mixture(16, 8), (torch.randn(samples, 8),), wrt="params")


def _mixture_jacobian(question: Question) -> dict[str, Tensor]:
    """Return what each component's share of a sample says."""
    mixture = cast("_Mixture", question.fn)
    x: Tensor = question.args[0]
    with torch.no_grad():
        share = mixture.joint(x).softmax(-1)
        scales = mixture.log_scales.exp()
        deviations = (x.unsqueeze(-2) - mixture.means) / scales
        return {
            "logits": share - mixture.logits.softmax(0),
            "means": share.unsqueeze(-1) * deviations / scales,
            "log_scales": share.unsqueeze(-1) * (deviations**2 - 1),
        }


def _mixture_twin(question: Question) -> Twin:
    jax, jnp = peer("jax"), peer("jax.numpy")

    def density(params: dict[str, Any], x: Any) -> Any:
        log_scales = params["log_scales"]
        deviations = (x - params["means"]) / jnp.exp(log_scales)
        exponents = -(deviations**2) / 2 - log_scales
        constant = math.log(2 * math.pi) * x.shape[-1] / 2
        joint = jax.nn.log_softmax(params["logits"]) + exponents.sum(-1) - constant
        return jax.scipy.special.logsumexp(joint)

    params = arrays(cast("nn.Module", question.fn))
    return Twin(density, params, (array(question.args[0]),), (None, 0))


MIXTURES: tuple[Workload, ...] = (
    Workload(
        name="gaussian_mixture",
        origin="16 Gaussians in 8 dimensions; F. Srajer, Z. Kukelova, A. Fitzgibbon, A "
        "benchmark of selected algorithmic differentiation tools, 2018, "
        "https://arxiv.org/abs/1807.10129 (here with diagonal covariances)",
        use="Each observation's score gives the Fisher information: standard errors of "
        "the parameters, natural gradients, score tests.",
        parameter="samples",
        sizes=(500, 4000, 20_000),
        tiny=3,
        build=seeded(_mixture),
        closed_form=_mixture_jacobian,
        twin=_mixture_twin,
    ),
)
"""A Gaussian mixture's log-likelihood."""
