"""Networks by their parameters, sample by sample."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from jacengine.bench.optional_libraries import load
from jacengine.bench.workload import (
    DerivativeSpec,
    JaxFunction,
    Workload,
    on_samples,
    seeded,
)
from jacengine.bench.workloads.datasets import diabetes, digits
from jacengine.bench.workloads.jax_functions import in_jax
from jacengine.bench.workloads.perceptrons import mlp, mlp_in_jax


class _Amplitude(nn.Module):
    """The log-amplitude of spins on a square lattice: summed convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, spins: Tensor) -> Tensor:
        amplitudes: Tensor = self.second(self.first(spins).tanh()).tanh()
        return amplitudes.sum((1, 2, 3))


def _monte_carlo(samples: int) -> DerivativeSpec:
    spins = torch.randint(0, 2, (samples, 1, 10, 10)) * 2.0 - 1
    return DerivativeSpec(_Amplitude(), (spins,), wrt="params")


def _amplitude_in_jax(spec: DerivativeSpec) -> JaxFunction:
    jnp, lax = load("jax.numpy"), load("jax.lax")

    def amplitude(params: dict[str, Any], spins: Any) -> Any:
        x = jnp.expand_dims(spins, 0)
        for name in ("first", "second"):
            kernel, bias = params[f"{name}.weight"], params[f"{name}.bias"]
            x = lax.conv_general_dilated(x, kernel, (1, 1), "SAME")
            x = jnp.tanh(x + jnp.reshape(bias, (-1, 1, 1)))
        return x.sum()

    return in_jax(spec, amplitude, cast("nn.Module", spec.fn))


def _conv3d() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(1, 2, 2, bias=False),
        nn.ReLU(),
        nn.Conv3d(2, 1, 2),
        nn.ReLU(),
        nn.AvgPool3d(4),
        nn.Flatten(),
    )


def _backpack(scale: int) -> DerivativeSpec:
    net = mlp(10 * scale, 7 * scale, 5 * scale)
    return DerivativeSpec(net, (torch.rand(15 * scale, 10 * scale),), wrt="params")


def _kernel_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, 10),
    )


PARAMETERS: tuple[Workload, ...] = (
    Workload(
        name="levenberg_marquardt",
        origin="MLP 10-h-h-1 on the 442 patients of B. Efron et al., Least angle "
        "regression, 2004, from scikit-learn (random normal features where that is not "
        "installed); M. Hagan, M. Menhaj, 1994",
        use="The residuals of all patients by the weights of the network that fits "
        "them: the matrix of a Levenberg-Marquardt step.",
        parameter="hidden units h",
        sizes=(16, 64, 192),
        tiny=2,
        build=seeded(
            lambda h: DerivativeSpec(mlp(10, h, h, 1), (diabetes(),), wrt="params")
        ),
        jax_function=mlp_in_jax,
    ),
    Workload(
        name="monte_carlo",
        origin="Convolutions 1-8-8, 3x3, on 10x10 spins; G. Carleo, M. Troyer, 2017, "
        "https://arxiv.org/abs/1606.02318; netket/netket#411",
        use="Stochastic reconfiguration in variational Monte Carlo needs each "
        "configuration's log-amplitude by the weights.",
        parameter="samples",
        sizes=(100, 300, 1000),
        tiny=2,
        build=seeded(_monte_carlo),
        jax_function=_amplitude_in_jax,
    ),
    Workload(
        name="quasi_linear_conv3d",
        origin="Conv3d 1-2-1 with ReLU and average pooling on 6x6x6; "
        "https://github.com/ChenAo-Phys/pytorch-Jacobian, 2020",
        use="Variational Monte Carlo on a cubic lattice: one number a sample by the "
        "weights of a quasi-linear network.",
        parameter="samples",
        sizes=(250, 1000, 4000),
        tiny=2,
        build=on_samples(_conv3d, 1, 6, 6, 6, draw=torch.rand, wrt="params"),
    ),
    Workload(
        name="backpack_example",
        origin="MLP 10k-7k-5k on 15k samples; BackPACK's example of batched Jacobians, "
        "https://docs.backpack.pt/en/master/use_cases/example_batched_jacobians.html",
        use="Generalised Gauss-Newton matrices and predictive variances are made from "
        "every output of every sample by the weights.",
        parameter="scale k",
        sizes=(1, 4, 8),
        tiny=1,
        build=seeded(_backpack),
        jax_function=mlp_in_jax,
    ),
    Workload(
        name="tangent_kernel",
        origin="Convolutional network on 16x16 colour images; A. Jacot, F. Gabriel, "
        "C. Hongler, 2018, https://arxiv.org/abs/1806.07572",
        use="The empirical neural tangent kernel is this Jacobian times its transpose; "
        "it predicts how training goes.",
        parameter="samples",
        sizes=(8, 64, 256),
        tiny=1,
        build=on_samples(_kernel_network, 3, 16, 16, draw=torch.rand, wrt="params"),
    ),
    Workload(
        name="laplace",
        origin="MLP 64-32-10 on scikit-learn's digits (random images where that is not "
        "installed); E. Daxberger et al., Laplace redux, 2021, "
        "https://arxiv.org/abs/2106.14806",
        use="The linearised Laplace approximation turns the logits' derivatives by the "
        "weights into predictive uncertainty.",
        parameter="samples",
        sizes=(50, 250, 1000),
        tiny=2,
        build=seeded(
            lambda n: DerivativeSpec(mlp(64, 32, 10), (digits()[:n],), wrt="params")
        ),
        jax_function=mlp_in_jax,
    ),
)
