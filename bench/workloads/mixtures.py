"""A Gaussian mixture's log-density, by its parameters and by its argument."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from jacengine.bench.optional_libraries import load
from jacengine.bench.workload import DerivativeSpec, Workload, scale


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


def _score(dimension: int) -> DerivativeSpec:
    where = torch.randn(256, dimension)
    return DerivativeSpec(_Mixture(16, dimension), (where,), quantity="laplacian")


def _mixture_in_jax(_: DerivativeSpec, params: dict[str, Any], x: Any) -> Any:
    jax, log_scales = load("jax"), params["log_scales"]
    deviations = (x - params["means"]) / load("jax.numpy").exp(log_scales)
    exponents = -(deviations**2) / 2 - log_scales
    constant = math.log(2 * math.pi) * x.shape[-1] / 2
    joint = jax.nn.log_softmax(params["logits"]) + exponents.sum(-1) - constant
    return jax.scipy.special.logsumexp(joint)


MIXTURES: tuple[Workload, ...] = (
    Workload(
        name="gaussian_mixture",
        origin="16 Gaussians in 8 dimensions; F. Srajer, Z. Kukelova, A. Fitzgibbon, A "
        "benchmark of selected algorithmic differentiation tools, 2018, "
        "https://arxiv.org/abs/1807.10129 (here with diagonal covariances)",
        use="Each observation's score gives the Fisher information: standard errors of "
        "the parameters, natural gradients, score tests.",
        **scale("samples", 500, 4000, 20_000, tiny=3),
        build=lambda n: DerivativeSpec(_Mixture(16, 8), (torch.randn(n, 8),), "params"),
        jax_function=_mixture_in_jax,
    ),
    Workload(
        name="score_divergence",
        origin="16 Gaussians in d dimensions on 256 samples; A. Hyvarinen, 2005; the "
        "term that Y. Song et al., Sliced score matching, 2019, "
        "https://arxiv.org/abs/1905.07088, estimate",
        use="Score matching fits a density without its normalisation: its objective "
        "takes the divergence of the score at every sample.",
        **scale("dimension d", 2, 8, 32, tiny=3),
        build=_score,
        jax_function=_mixture_in_jax,
    ),
)
