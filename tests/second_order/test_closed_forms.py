"""Second derivatives that are known by formula, by every strategy there is."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import jacengine
from tests.contract.compare import assert_same
from tests.contract.scenario import Case
from tests.problems import randn
from tests.second_order.harness import QUANTITIES, AnalyzedCase, automatically

SAMPLES = randn(5, 3)
MATRIX = randn(3, 3, seed=2)
PAIRS = randn(6, 2, seed=4) + 3.0
RATES = randn(3, seed=6)


@dataclass(frozen=True)
class Known:
    """A function of samples and its Hessian.

    Attributes:
        fn: Maps samples `(B, N)` to numbers `(B,)`.
        x: The samples.
        hessian: Maps them to `(B, N, N)`.
        tolerance: Relative to the largest entry, or to one.
        columns: The inputs of which it is asked, all by default.
    """

    fn: Callable[[Tensor], Tensor]
    x: Tensor
    hessian: Callable[[Tensor], Tensor]
    tolerance: float = 1e-11


def _quadratic(x: Tensor) -> Tensor:
    return torch.einsum("bi,ij,bj->b", x, MATRIX, x)


def _gaussian(x: Tensor) -> Tensor:
    return (-x.square().sum(-1) / 2).exp()


def _gaussian_hessian(x: Tensor) -> Tensor:
    outer = x.unsqueeze(-1) * x.unsqueeze(-2)
    return (outer - torch.eye(3, dtype=torch.float64)) * _gaussian(x)[:, None, None]


def _power(degree: int) -> Callable[[Tensor], Tensor]:
    def fn(x: Tensor) -> Tensor:
        real, imaginary = x[..., 0], x[..., 1]
        re, im = real, imaginary
        for _ in range(degree - 1):
            re, im = re * real - im * imaginary, re * imaginary + im * real
        return re

    return fn


def _power_hessian(degree: int) -> Callable[[Tensor], Tensor]:
    """d^n f / dz^n is f'': its real part along x, minus it along y."""

    def hessian(x: Tensor) -> Tensor:
        z = torch.view_as_complex(x.contiguous())
        second = degree * (degree - 1) * z ** (degree - 2)
        first = torch.stack([second.real, -second.imag], dim=-1)
        other = torch.stack([-second.imag, -second.real], dim=-1)
        return torch.stack([first, other], dim=-2)

    return hessian


def _inverse_distance(x: Tensor) -> Tensor:
    return 1 / x.square().sum(-1).sqrt()


def _inverse_distance_hessian(x: Tensor) -> Tensor:
    r = x.norm(dim=-1)[:, None, None]
    outer = x.unsqueeze(-1) * x.unsqueeze(-2)
    curved: Tensor = 3 * outer / r**5 - torch.eye(3, dtype=torch.float64) / r**3
    return curved


def _log_distance(x: Tensor) -> Tensor:
    return x.square().sum(-1).log() / 2


def _log_distance_hessian(x: Tensor) -> Tensor:
    r2 = x.square().sum(-1)[:, None, None]
    outer = x.unsqueeze(-1) * x.unsqueeze(-2)
    return torch.eye(2).double() / r2 - 2 * outer / r2**2


def _separable(x: Tensor) -> Tensor:
    return (RATES * x).exp().sum(-1) + x.sin().sum(-1)


def _separable_hessian(x: Tensor) -> Tensor:
    return (RATES**2 * (RATES * x).exp() - x.sin()).diag_embed()


def _logsumexp(x: Tensor) -> Tensor:
    return x.logsumexp(-1)


def _logsumexp_hessian(x: Tensor) -> Tensor:
    p = x.softmax(-1)
    return p.diag_embed() - p.unsqueeze(-1) * p.unsqueeze(-2)


def _hydrogen(x: Tensor) -> Tensor:
    return (-x.square().sum(-1).sqrt()).exp()


def _hydrogen_hessian(x: Tensor) -> Tensor:
    r = x.norm(dim=-1)[:, None, None]
    outer = x.unsqueeze(-1) * x.unsqueeze(-2) / r**2
    curved: Tensor = (-r).exp() * (
        outer - (torch.eye(3, dtype=torch.float64) - outer) / r
    )
    return curved


KNOWN: dict[str, Known] = {
    "quadratic": Known(
        _quadratic, SAMPLES, lambda x: (MATRIX + MATRIX.T).expand(len(x), 3, 3)
    ),
    "linear": Known(lambda x: x @ RATES, SAMPLES, lambda x: x.new_zeros(len(x), 3, 3)),
    "gaussian": Known(_gaussian, SAMPLES, _gaussian_hessian),
    "z2": Known(_power(2), PAIRS, _power_hessian(2)),
    "z5": Known(_power(5), PAIRS, _power_hessian(5), 1e-10),
    "inverse_distance": Known(_inverse_distance, SAMPLES, _inverse_distance_hessian),
    "log_distance": Known(_log_distance, PAIRS, _log_distance_hessian),
    "separable": Known(_separable, SAMPLES, _separable_hessian),
    "logsumexp": Known(_logsumexp, SAMPLES, _logsumexp_hessian),
    "hydrogen": Known(_hydrogen, SAMPLES, _hydrogen_hessian),
}
HARMONIC = ("z2", "z5", "inverse_distance", "log_distance")


def part_of(quantity: str, hessian: Tensor) -> Tensor:
    """Take the Hessian, its diagonal or its trace."""
    if quantity == "hessian":
        return hessian.contiguous()
    diagonal = hessian.diagonal(dim1=-2, dim2=-1)
    return diagonal.contiguous() if quantity == "hessian_diagonal" else diagonal.sum(-1)


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("name", KNOWN)
def test_of_samples(name: str, quantity: Any) -> None:
    known = KNOWN[name]
    case = Case(known.fn, (known.x,), options={"batch_dim": 0})
    wanted = part_of(quantity, known.hessian(known.x))
    asked = AnalyzedCase(quantity, case)
    for strategy in jacengine.list_strategies(quantity):
        for found in asked.by(strategy, (None, 1, 2)):
            assert_same(found, wanted, known.tolerance)
    found = automatically(quantity, case, effort="none")
    assert_same(found, wanted, known.tolerance)


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("name", KNOWN)
def test_of_one_point(name: str, quantity: Any) -> None:
    known = KNOWN[name]
    case = Case(known.fn, (known.x[0],))
    if name == "quadratic":
        case = Case(lambda x: x @ MATRIX @ x, (known.x[0],))
    wanted = part_of(quantity, known.hessian(known.x[:1]))[0]
    found = automatically(quantity, case, effort="quick")
    assert_same(found, wanted, known.tolerance)


@pytest.mark.parametrize("name", HARMONIC)
def test_harmonic_functions_have_no_laplacian(name: str) -> None:
    known = KNOWN[name]
    for strategy in jacengine.list_strategies("laplacian"):
        found = jacengine.laplacian(
            known.fn, known.x, strategies=[strategy], effort="none"
        )
        scale = known.hessian(known.x).abs().max()
        assert float(found.abs().max() / scale) < 1e-13


def test_hydrogen_has_its_energy() -> None:
    """-1/2 lap psi - psi / r = -1/2 psi: the ground state of hydrogen."""
    kinetic = -jacengine.laplacian(_hydrogen, SAMPLES) / 2
    potential = -_hydrogen(SAMPLES) / SAMPLES.norm(dim=-1)
    assert torch.allclose(kinetic + potential, -_hydrogen(SAMPLES) / 2, rtol=1e-12)


def test_a_bilinear_coupling_has_blocks_beside_the_diagonal_alone() -> None:
    def coupled(x: Tensor, y: Tensor) -> Tensor:
        return x @ weight @ y

    weight = randn(3, 2)
    for strategy in jacengine.list_strategies("hessian"):
        case = Case(coupled, (randn(3), randn(2)), options={"wrt": (0, 1)})
        if strategy == "repeat_over_grad":
            continue  # declines what has no samples
        (found,) = AnalyzedCase("hessian", case).by(strategy, (None,))
        zeros = (torch.zeros(3, 3).double(), torch.zeros(2, 2).double())
        wanted = ((zeros[0], weight), (weight.T.contiguous(), zeros[1]))
        assert_same(found, wanted, 1e-13)
    for quantity in ("hessian_diagonal", "laplacian"):
        case = Case(coupled, (randn(3), randn(2)), options={"wrt": (0, 1)})
        parts = automatically(quantity, case)
        for part in parts if isinstance(parts, tuple) else (parts,):
            assert not part.any()


def test_columns_are_those_of_space() -> None:
    """U = exp(-k^2 t) sin(k x) solves the heat equation u_t = u_xx."""
    rate = 1.5

    def heat(p: Tensor) -> Tensor:
        return (-(rate**2) * p[:, 0]).exp() * (rate * p[:, 1]).sin()

    points = randn(7, 2)
    in_space = jacengine.laplacian(heat, points, columns=slice(1, 2))
    in_time = jacengine.auto(heat, points, batch_dim=0)[:, 0]
    assert torch.allclose(in_space, in_time, rtol=1e-12)
    both = jacengine.laplacian(heat, points)
    assert torch.allclose(both - in_space, rate**4 * heat(points), rtol=1e-11)


def test_orders_of_growth() -> None:
    """The Laplacian of |x|^n is n (n + d - 2) |x|^(n - 2), in many dimensions."""
    x = randn(4, 12)
    for power in (2, 3, 6):
        found = jacengine.laplacian(lambda x, p=power: x.norm(dim=-1) ** p, x)
        wanted = power * (power + 10) * x.norm(dim=-1) ** (power - 2)
        assert torch.allclose(found, wanted, rtol=1e-11)


def test_a_normal_density_is_normalised_by_its_laplacian() -> None:
    """Log N(x; 0, s^2) has the Laplacian -d / s^2, and its Hessian is diagonal."""
    scale = torch.tensor([0.5, 1.0, 2.0]).double()

    def log_density(x: Tensor) -> Tensor:
        constant = math.log(2 * math.pi) * 3 / 2
        return -((x / scale) ** 2).sum(-1) / 2 - scale.log().sum() - constant

    found = jacengine.hessian(log_density, SAMPLES, batch_dim=0)
    assert_same(found, (-(scale**-2)).diag().expand(5, 3, 3).contiguous(), 1e-13)
    assert torch.allclose(jacengine.laplacian(log_density, SAMPLES), -(scale**-2).sum())
