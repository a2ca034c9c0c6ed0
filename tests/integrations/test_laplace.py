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
    model[0].requires_grad_(requires_grad=False)  # type: ignore[index]
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
    if structure == "kron" and (subset == "subnetwork" or name == "convnet"):
        pytest.skip("laplace-torch has none, or none with BatchNorm")
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
        found[-1] += (la.log_marginal_likelihood(),)
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("structure", ["full", "diag"])
def test_a_linear_model_has_the_posterior_of_linear_regression(structure: str) -> None:
    model = nn.Linear(6, 1).double()
    X, y = torch.randn(30, 6).double(), torch.randn(30, 1).double()
    noise, prior = 0.3, 2.0
    la: Any = Laplace(
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
    xs, y = batch("classification")
    xs = xs.double()
    _, H = getattr(JacengineGGN(model, "classification"), structure)(xs, y)
    p = model(xs).detach().softmax(-1)
    expected = sum(
        torch.kron(q.diag() - torch.outer(q, q), torch.outer(x, x))
        for q, x in zip(p, xs, strict=True)
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
    J, f = ours.selected_output_jacobians(x, index)
    assert J.shape == (7, index.numel() // 7, 53)
    torch.testing.assert_close((J, f), theirs.selected_output_jacobians(x, index))


def test_only_selected_outputs_are_computed() -> None:
    ours = JacengineGGN(nn.Linear(6, 50), "classification")
    outputs = torch.tensor([[0, 1], [49, 3], [3, 4], [3, 3]])
    J, f = ours.selected_output_jacobians(torch.randn(4, 6), outputs)
    assert J.shape == (4, 2, 350)
    assert f.shape == (4, 50)
    [plan] = ours._plans.values()
    assert plan.problem.result_bytes == J.nbytes


@pytest.mark.parametrize("outputs", [torch.zeros(6), torch.zeros(7, 1, 1)])
def test_selectors_of_another_shape_are_named(outputs: Tensor) -> None:
    ours = JacengineGGN(mlp(), "classification")
    with pytest.raises(ValueError, match=r"expected \(7,\) or \(7, S\)"):
        ours.selected_output_jacobians(torch.randn(7, 6), outputs.long())


def test_subnetworks_keep_their_order() -> None:
    ours, theirs = backends(mlp, "classification")
    x, y = batch("classification")
    J, _ = theirs.jacobians(x)
    index = torch.tensor([40, 3, 17])
    for backend in (ours, theirs):
        backend.subnetwork_indices = index
    torch.testing.assert_close(ours.jacobians(x)[0], J[:, :, index])
    torch.testing.assert_close(ours.full(x, y), theirs.full(x, y))
    torch.testing.assert_close(ours.diag(x, y), theirs.diag(x, y))


def test_parameters_may_change_between_calls() -> None:
    ours, theirs = backends(convnet, "regression")
    x, y = batch("regression")
    for _ in range(3):
        old = parameters_to_vector(ours.model.parameters()).detach()
        vector_to_parameters(old + torch.randn_like(old), ours.model.parameters())
        torch.testing.assert_close(ours.jacobians(x), theirs.jacobians(x))
        torch.testing.assert_close(
            ours.full(x, y), theirs.full(x, y, N=7), rtol=1e-4, atol=1e-4
        )
    assert len(ours._plans) == 1


def test_a_plan_is_made_for_each_kind_of_input() -> None:
    model = nn.Sequential(nn.AdaptiveAvgPool1d(6), nn.Dropout(0.0), mlp()).eval()
    ours, theirs = JacengineGGN(model, "regression"), CurvlinopsGGN(model, "regression")

    def check(x: Tensor) -> None:
        torch.testing.assert_close(ours.jacobians(x), theirs.jacobians(x))

    for shape in ((4, 1, 9), (3, 1, 12), (5, 1, 9)):
        check(torch.randn(shape).squeeze(1))
    assert len(ours._plans) == 2  # of 9 and of 12 numbers
    model.double()
    check(torch.randn(4, 9).double())
    model.train()
    check(torch.randn(4, 9).double())
    assert len(ours._plans) == 3


def numerical_gradient(fn: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return central differences of a function to one number."""
    step, flat = 1e-5, torch.zeros(x.numel(), dtype=x.dtype)
    for i in range(x.numel()):
        e = torch.zeros_like(flat)
        e[i] = step
        e = e.view_as(x)
        flat[i] = (fn(x + e) - fn(x - e)) / (2 * step)
    return flat.view_as(x)


@pytest.mark.parametrize("structure", ["full", "diag"])
@pytest.mark.parametrize("subset", ["all", "last_layer"])
def test_the_variance_is_differentiable(structure: str, subset: str) -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    la: Any = Laplace(
        model,
        "regression",
        subset_of_weights=subset,
        hessian_structure=structure,
        enable_backprop=True,
        backend=JacengineGGN,
    )
    X, y = (tensor.double() for tensor in batch("regression"))
    la.fit(DataLoader(TensorDataset(X, y), batch_size=4))

    def variance(x: Tensor) -> Tensor:
        total: Tensor = la(x)[1].diagonal(dim1=-2, dim2=-1).sin().sum()
        return total

    x = torch.randn(2, 6).double().requires_grad_()
    (gradient,) = torch.autograd.grad(variance(x), x)
    expected = numerical_gradient(lambda x: variance(x).detach(), x.detach())
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-8)


def test_selected_jacobians_are_differentiable() -> None:
    ours = JacengineGGN(mlp().double(), "classification")
    x, index = torch.randn(4, 6).double(), torch.randint(0, 3, (4, 2))

    def squares(x: Tensor) -> Tensor:
        J, f = ours.selected_output_jacobians(x, index, enable_backprop=True)
        return J.square().sum() + f.square().sum()

    x.requires_grad_()
    (gradient,) = torch.autograd.grad(squares(x), x)
    expected = numerical_gradient(lambda x: squares(x).detach(), x.detach())
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-8)


class Tokens(nn.Module):
    """A model of a mapping, as those of Hugging Face are."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(10, 4), nn.Linear(4, 3)

    def forward(self, data: MutableMapping[str, Any]) -> Tensor:
        mask = data["attention_mask"].unsqueeze(-1)
        mean = (self.table(data["input_ids"]) * mask).sum(1) / mask.sum(1)
        logits: Tensor = self.head(torch.tanh(mean))
        return logits


@pytest.mark.parametrize("kind", [dict, collections.UserDict])
def test_mappings_are_inputs(kind: type) -> None:
    ours, theirs = backends(Tokens, "classification")
    y = torch.randint(0, 3, (6,))
    data = kind(
        input_ids=torch.randint(0, 10, (6, 5)),
        attention_mask=torch.rand(6, 5).round() + 0.5,
        labels=y,
    )
    torch.testing.assert_close(ours.jacobians(data), theirs.jacobians(data))
    torch.testing.assert_close(ours.full(data, y), theirs.full(data, y, N=6))
    torch.testing.assert_close(ours.diag(data, y), theirs.diag(data, y))
    index = torch.randint(0, 3, (6,))
    torch.testing.assert_close(
        ours.selected_output_jacobians(data, index),
        theirs.selected_output_jacobians(data, index),
    )


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_a_sampled_fisher_matrix_is_that_of_laplace(likelihood: str) -> None:
    ours, theirs = backends(mlp, likelihood, stochastic=True)
    x, y = batch(likelihood)
    found = []
    for backend in (ours, theirs):
        torch.manual_seed(3)
        found.append((backend.diag(x, y), backend.full(x, y, N=7)))
    torch.testing.assert_close(*found)


def test_of_many_outputs_the_matrix_is_that_of_laplace() -> None:
    model = nn.Sequential(nn.Linear(6, 20), nn.Tanh(), nn.Linear(20, 40))
    ours = JacengineGGN(model, "classification")
    x, y = torch.randn(9, 6), torch.randint(0, 40, (9,))
    for method in ("full", "diag"):
        torch.testing.assert_close(
            getattr(ours, method)(x, y),
            getattr(GGNInterface, method)(CurvlinopsGGN(model, "classification"), x, y),
            rtol=1e-4,
            atol=1e-6,
        )


def test_last_layer_jacobians_are_the_closed_form() -> None:
    la = fitted(JacengineGGN, mlp(), "regression", hessian_structure="full")
    backend, x = la.backend, torch.randn(4, 6)
    assert backend.last_layer
    expected = backend.last_layer_jacobians(x)
    torch.testing.assert_close(backend.jacobians(x), expected)


def test_a_backend_can_be_copied() -> None:
    ours, _ = backends(mlp, "regression")
    x, _ = batch("regression")
    ours.jacobians(x)
    twin = copy.deepcopy(ours)
    with torch.no_grad():
        twin.model[0].weight.add_(1.0)
    torch.testing.assert_close(
        twin.jacobians(x), CurvlinopsGGN(twin.model, "regression").jacobians(x)
    )


def test_steps_of_the_marginal_likelihood_are_equal() -> None:
    loader = DataLoader(TensorDataset(*batch("classification", 20)), batch_size=10)
    found = []
    for backend in (JacengineGGN, CurvlinopsGGN):
        torch.manual_seed(2)
        la, model, margliks, _ = marglik_training(
            mlp(),
            loader,
            "classification",
            hessian_structure="diag",
            backend=backend,
            n_epochs=4,
            optimizer_kwargs={"lr": 0.05},
            marglik_frequency=2,
            n_hypersteps=5,
        )
        weights = parameters_to_vector(model.parameters()).detach()
        found.append((weights, margliks, torch.as_tensor(la.prior_precision).detach()))
    assert all(map(math.isfinite, found[0][1]))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)


def test_without_laplace_it_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['laplace'] = None; import jacengine.integrations."
        "laplace"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "pip install laplace-torch" in done.stderr
