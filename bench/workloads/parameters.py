"""Networks by their parameters, sample by sample."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from jacengine.bench.peers import peer
from jacengine.bench.workload import Question, Twin, Workload, seeded
from jacengine.bench.workloads.arrays import array, arrays
from jacengine.bench.workloads.datasets import diabetes, digits
from jacengine.bench.workloads.perceptrons import mlp, mlp_twin


def _curve_fit(hidden: int) -> Question:
    return Question(mlp(10, hidden, hidden, 1), (diabetes(),), wrt="params")


class _Amplitude(nn.Module):
    """The log-amplitude of spins on a square lattice: convolutions, summed up."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, spins: Tensor) -> Tensor:
        amplitudes: Tensor = self.second(self.first(spins).tanh()).tanh()
        return amplitudes.sum((1, 2, 3))


def _monte_carlo(samples: int) -> Question:
    spins = torch.randint(0, 2, (samples, 1, 10, 10)) * 2.0 - 1
    return Question(_Amplitude(), (spins,), wrt="params")


def _amplitude_twin(question: Question) -> Twin:
    jnp, lax = peer("jax.numpy"), peer("jax.lax")

    def amplitude(params: dict[str, Any], spins: Any) -> Any:
        x = jnp.expand_dims(spins, 0)
        for name in ("first", "second"):
            kernel, bias = params[f"{name}.weight"], params[f"{name}.bias"]
            x = lax.conv_general_dilated(x, kernel, (1, 1), "SAME")
            x = jnp.tanh(x + jnp.reshape(bias, (-1, 1, 1)))
        return x.sum()

    params = arrays(cast("nn.Module", question.fn))
    return Twin(amplitude, params, (array(question.args[0]),), (None, 0))


def _conv3d(samples: int) -> Question:
    net = nn.Sequential(
        nn.Conv3d(1, 2, 2, bias=False),
        nn.ReLU(),
        nn.Conv3d(2, 1, 2),
        nn.ReLU(),
        nn.AvgPool3d(4),
        nn.Flatten(),
    )
    return Question(net, (torch.rand(samples, 1, 6, 6, 6),), wrt="params")


def _backpack(scale: int) -> Question:
    net = mlp(10 * scale, 7 * scale, 5 * scale)
    return Question(net, (torch.rand(15 * scale, 10 * scale),), wrt="params")


def _kernel_network(samples: int) -> Question:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, 10),
    )
    return Question(net, (torch.rand(samples, 3, 16, 16),), wrt="params")


def _posterior(samples: int) -> Question:
    return Question(mlp(64, 32, 10), (digits()[:samples],), wrt="params")


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
        build=seeded(_curve_fit),
        twin=mlp_twin,
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
        twin=_amplitude_twin,
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
        build=seeded(_conv3d),
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
        twin=mlp_twin,
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
        build=seeded(_kernel_network),
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
        build=seeded(_posterior),
        twin=mlp_twin,
    ),
)
"""Networks by their parameters, sample by sample."""
