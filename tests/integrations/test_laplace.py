"""The curvature backend against laplace-torch's own, and against closed forms."""

import collections
import copy
import math
import subprocess
import sys
from collections.abc import Callable, MutableMapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.utils.data import DataLoader, TensorDataset

pytest.importorskip("laplace", reason="make test installs laplace-torch")

from laplace import Laplace, marglik_training
from laplace.curvature import CurvlinopsGGN, GGNInterface

from jacengine.integrations.laplace import JacengineGGN


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def convnet() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)),
        nn.Conv2d(1, 4, 2, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(4),
        nn.Flatten(),
        nn.Linear(48, 3),
    )


def frozen() -> nn.Module:
    model = mlp()
    model[0].requires_grad_(requires_grad=False)  # type: ignore[index, operator]
    return model


MODELS = {"mlp": mlp, "convnet": convnet, "frozen": frozen}
LIKELIHOODS = ("classification", "regression")


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def batch(likelihood: str, samples: int = 7) -> tuple[Tensor, Tensor]:
    X = torch.randn(samples, 6)
    if likelihood == "classification":
        return X, torch.randint(0, 3, (samples,))
    return X, torch.randn(samples, 3)


def backends(
    make: Callable[[], nn.Module], likelihood: str, **options: Any
) -> tuple[Any, Any]:
    model = make().eval()
    return (
        JacengineGGN(model, likelihood, **options),
        CurvlinopsGGN(model, likelihood, **options),
    )


def fitted(backend: Any, model: nn.Module, likelihood: str, **options: Any) -> Any:
    la = Laplace(model, likelihood, backend=backend, prior_precision=0.7, **options)
    data = TensorDataset(*batch(likelihood, 20))
    la.fit(DataLoader(data, batch_size=8))  # the last batch is smaller
    return la


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("name", MODELS)
def test_curvature_is_that_of_curvlinops(name: str, likelihood: str) -> None:
    ours, theirs = backends(MODELS[name], likelihood)
    x, y = batch(likelihood)
    for found, expected in zip(ours.jacobians(x), theirs.jacobians(x), strict=True):
        torch.testing.assert_close(found, expected)
        assert not found.requires_grad
    for found, expected in (
        (ours.full(x, y), theirs.full(x, y, N=7)),
        (ours.diag(x, y), theirs.diag(x, y)),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("structure", ["full", "diag", "kron"])
@pytest.mark.parametrize("subset", ["all", "last_layer", "subnetwork"])
@pytest.mark.parametrize("name", ["mlp", "convnet"])
def test_predictions_are_equal(
    name: str, subset: str, structure: str, likelihood: str
) -> None:
    if (subset, structure) == ("subnetwork", "kron"):
        pytest.skip("laplace-torch has none")
    model = MODELS[name]().eval()
    options: dict[str, Any] = {
        "subset_of_weights": subset,
        "hessian_structure": structure,
    }
    if subset == "subnetwork":
        options["subnetwork_indices"] = torch.tensor([30, 2, 17, 4])
    x = torch.randn(5, 6)
    found = []
    for backend in (JacengineGGN, CurvlinopsGGN):
        torch.manual_seed(1)
        la = fitted(backend, model, likelihood, **options)
        predicted = la(x)
        found.append((*predicted,) if likelihood == "regression" else (predicted,))
        found[-1] += (la.log_marginal_likelihood(), la.functional_variance_of(x))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("structure", ["full", "diag"])
def test_a_linear_model_has_the_posterior_of_linear_regression(structure: str) -> None:
    model = nn.Linear(6, 1).double()
    X, y = torch.randn(30, 6).double(), torch.randn(30, 1).double()
    noise, prior = 0.3, 2.0
    la = Laplace(
        model,
        "regression",
        subset_of_weights="all",
        hessian_structure=structure,
        sigma_noise=noise,
        prior_precision=prior,
        backend=JacengineGGN,
    )
    la.fit(DataLoader(TensorDataset(X, y), batch_size=11))
    design = torch.cat([X, torch.ones(30, 1)], dim=1).double()
    precision = design.T @ design / noise**2 + prior * torch.eye(7).double()
    if structure == "diag":
        precision = precision.diagonal().diag()
    new = torch.randn(4, 6).double()
    rows = torch.cat([new, torch.ones(4, 1)], dim=1).double()
    expected = ((rows @ torch.linalg.inv(precision)) * rows).sum(1)
    mean, variance = la(new)
    torch.testing.assert_close(mean, model(new).detach())
    torch.testing.assert_close(variance.flatten(), expected)


@pytest.mark.parametrize("structure", ["full", "diag"])
def test_softmax_regression_has_its_fisher_information(structure: str) -> None:
    model = nn.Linear(6, 3, bias=False).double()
    X, y = batch("classification")
    X = X.double()
    _, H = getattr(JacengineGGN(model, "classification"), structure)(X, y)
    p = model(X).detach().softmax(-1)
    expected = sum(
        torch.kron(q.diag() - torch.outer(q, q), torch.outer(x, x))
        for q, x in zip(p, X, strict=True)
    )
    assert isinstance(expected, Tensor)
    torch.testing.assert_close(
        H, expected if structure == "full" else expected.diagonal()
    )


@pytest.mark.parametrize("outputs", [(7,), (7, 1), (7, 2)])
def test_selected_outputs_differ_by_sample(outputs: tuple[int, ...]) -> None:
    ours, theirs = backends(mlp, "classification")
    x, _ = batch("classification")
    index = torch.randint(0, 3, outputs)
    found = ours.selected_output_jacobians(x, index)
    torch.testing.assert_close(found, theirs.selected_output_jacobians(x, index))
    assert found[0].shape == (7, *outputs[1:], 53)[: 3 if outputs[1:] else 2] or (
        found[0].shape == (7, 1, 53)
    )


def test_only_selected_outputs_are_differentiated() -> None:
    rows = list[int]()

    class Counted(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            pass

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
            rows.append(grad.shape[0])
            return grad

    model = nn.Sequential(nn.Linear(6, 50))
    ours = JacengineGGN(model, "classification")
    x = torch.randn(4, 6)
    J, f = ours.selected_output_jacobians(x, torch.tensor([[0], [49], [3], [3]]))
    assert J.shape == (4, 1, 350)
    assert f.shape == (4, 50)
    assert [plan.problem.result_bytes for plan in ours._plans.values()] == [4 * 350 * 4]
    del Counted, rows
