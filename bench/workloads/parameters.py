"""Derivatives by the parameters of networks: of every sample, and of a mean loss."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jacengine.bench.optional_libraries import installed, load
from jacengine.bench.workload import DerivativeSpec, Workload, scale
from jacengine.bench.workloads.models import conv_classifier, mlp, mlp_in_jax
from jacengine.problem.quantity import Quantity


def diabetes() -> Tensor:
    """Return 442 patients' 10 features, scaled to unit variance.

    Without scikit-learn, they are random: the cost of a Jacobian hardly depends on the
    values. So are the digits.
    """
    if not installed("sklearn"):
        return torch.randn(442, 10)
    features = torch.from_numpy(load("sklearn.datasets").load_diabetes().data).float()
    return features / features.std(0)


def digits() -> tuple[Tensor, Tensor]:
    """Return 1797 images of 64 grey values from 0 to 1, and the digits in them."""
    if not installed("sklearn"):
        return torch.rand(1797, 64), torch.randint(10, (1797,))
    found = load("sklearn.datasets").load_digits()
    return torch.from_numpy(found.data).float() / 16, torch.from_numpy(found.target)


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
    return DerivativeSpec(_Amplitude(), (spins,), "params")


def _amplitude_in_jax(_: DerivativeSpec, params: dict[str, Any], spins: Any) -> Any:
    jnp, lax = load("jax.numpy"), load("jax.lax")
    x = jnp.expand_dims(spins, 0)
    for name in ("first", "second"):
        kernel, bias = params[f"{name}.weight"], params[f"{name}.bias"]
        x = lax.conv_general_dilated(x, kernel, (1, 1), "SAME")
        x = jnp.tanh(x + jnp.reshape(bias, (-1, 1, 1)))
    return x.sum()


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
    return DerivativeSpec(net, (torch.rand(15 * scale, 10 * scale),), "params")


class _Loss(nn.Module):
    """The mean cross entropy of a network's classes."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.network = mlp(64, hidden, 10)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.network(images), labels)


def _loss(hidden: int, quantity: Quantity) -> DerivativeSpec:
    images, labels = digits()
    args = images[:128], labels[:128]
    return DerivativeSpec(_Loss(hidden), args, "params", None, quantity)


def _loss_in_jax(
    spec: DerivativeSpec, params: dict[str, Any], images: Any, labels: Any
) -> Any:
    jax, jnp = load("jax"), load("jax.numpy")
    apply = jax.vmap(lambda image: mlp_in_jax(spec, params, image, "network."))
    logs = jax.nn.log_softmax(apply(images))
    return -logs[jnp.arange(len(labels)), labels].mean()


PARAMETERS: tuple[Workload, ...] = (
    Workload(
        name="levenberg_marquardt",
        origin="MLP 10-h-h-1 on the 442 patients of B. Efron et al., Least angle "
        "regression, 2004, from scikit-learn (random normal features where that is not "
        "installed); M. Hagan, M. Menhaj, 1994",
        use="The residuals of all patients by the weights of the network that fits "
        "them: the matrix of a Levenberg-Marquardt step.",
        **scale("hidden units h", 16, 64, 192, tiny=2),
        build=lambda h: DerivativeSpec(mlp(10, h, h, 1), (diabetes(),), "params"),
        jax_function=mlp_in_jax,
    ),
    Workload(
        name="monte_carlo",
        origin="Convolutions 1-8-8, 3x3, on 10x10 spins; G. Carleo, M. Troyer, 2017, "
        "https://arxiv.org/abs/1606.02318; netket/netket#411",
        use="Stochastic reconfiguration in variational Monte Carlo needs each "
        "configuration's log-amplitude by the weights.",
        **scale("samples", 100, 300, 1000, tiny=2),
        build=_monte_carlo,
        jax_function=_amplitude_in_jax,
    ),
    Workload(
        name="quasi_linear_conv3d",
        origin="Conv3d 1-2-1 with ReLU and average pooling on 6x6x6; "
        "https://github.com/ChenAo-Phys/pytorch-Jacobian, 2020",
        use="Variational Monte Carlo on a cubic lattice: one number a sample by the "
        "weights of a quasi-linear network.",
        **scale("samples", 250, 1000, 4000, tiny=2),
        build=lambda n: DerivativeSpec(
            _conv3d(), (torch.rand(n, 1, 6, 6, 6),), "params"
        ),
    ),
    Workload(
        name="backpack_example",
        origin="MLP 10k-7k-5k on 15k samples; BackPACK's example of batched Jacobians, "
        "https://docs.backpack.pt/en/master/use_cases/example_batched_jacobians.html",
        use="Generalised Gauss-Newton matrices and predictive variances are made from "
        "every output of every sample by the weights.",
        **scale("scale k", 1, 4, 8, tiny=1),
        build=_backpack,
        jax_function=mlp_in_jax,
    ),
    Workload(
        name="tangent_kernel",
        origin="Convolutional network on 16x16 colour images; A. Jacot, F. Gabriel, "
        "C. Hongler, 2018, https://arxiv.org/abs/1806.07572",
        use="The empirical neural tangent kernel is this Jacobian times its transpose; "
        "it predicts how training goes.",
        **scale("samples", 8, 64, 256, tiny=1),
        build=lambda n: DerivativeSpec(
            conv_classifier(3, 16), (torch.rand(n, 3, 16, 16),), "params"
        ),
    ),
    Workload(
        name="laplace",
        origin="MLP 64-32-10 on scikit-learn's digits (random images where that is not "
        "installed); E. Daxberger et al., Laplace redux, 2021, "
        "https://arxiv.org/abs/2106.14806",
        use="The linearised Laplace approximation turns the logits' derivatives by the "
        "weights into predictive uncertainty.",
        **scale("samples", 50, 250, 1000, tiny=2),
        build=lambda n: DerivativeSpec(mlp(64, 32, 10), (digits()[0][:n],), "params"),
        jax_function=mlp_in_jax,
    ),
)

LOSSES: tuple[Workload, ...] = (
    Workload(
        name="classifier_hessian",
        origin="Mean cross entropy of MLP 64-h-10 on 128 of scikit-learn's digits "
        "(random images where that is not installed); B. Ghorbani, S. Krishnan, Y. "
        "Xiao, 2019, https://arxiv.org/abs/1901.10159",
        use="The loss's Hessian by the weights, for its spectrum, for influence "
        "functions and for Laplace approximations.",
        **scale("hidden units h", 4, 8, 16, tiny=2),
        build=lambda hidden: _loss(hidden, "hessian"),
        jax_function=_loss_in_jax,
    ),
    Workload(
        name="loss_diagonal",
        origin="Mean cross entropy of MLP 64-h-10 on 128 of scikit-learn's digits "
        "(random images where that is not installed); Y. LeCun, J. Denker, S. Solla, "
        "Optimal brain damage, 1990",
        use="Pruning removes the weights whose second derivatives say that the loss "
        "would hardly grow.",
        **scale("hidden units h", 8, 16, 32, tiny=2),
        build=lambda hidden: _loss(hidden, "hessian_diagonal"),
        jax_function=_loss_in_jax,
    ),
)
