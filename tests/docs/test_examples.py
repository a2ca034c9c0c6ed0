"""The examples run, compute what they say, and find what they should."""

import re
import runpy
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.image import imread
from torch import Tensor, nn

from jacengine.bench.reference import reference
from jacengine.bench.workload import DerivativeSpec as Question
from tests.problems import mlp, randn

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("levenberg_marquardt", "laplace_approximation", "tangent_kernel")


def load(name: str, *, run_name: str = "example") -> dict[str, Any]:
    pytest.importorskip("sklearn", reason="make peers installs scikit-learn")
    return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name=run_name)


def printed(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    load(name, run_name="__main__")
    return capsys.readouterr().out


def numbers(label: str, text: str) -> list[float]:
    """Find the number that follows a label, wherever it stands."""
    return [float(found) for found in re.findall(rf"{label} ([\d.]+\d)", text)]


def dense(model: nn.Module, x: Tensor) -> Tensor:
    """Return J as a matrix, by the plainest loop."""
    J = reference(Question(model, (x,), wrt="params"))
    return torch.cat([block.flatten(0, 1).flatten(1) for block in J.values()], dim=1)


@pytest.mark.parametrize("name", NAMES)
def test_without_scikit_learn_it_says_what_to_install(
    name: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert left.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "pip install scikit-learn" in said.err


def test_levenberg_marquardt_fits(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("levenberg_marquardt", capsys)
    objectives = numbers("objective", text)
    assert objectives == sorted(objectives, reverse=True)
    for part in ("train error", "test error"):
        start, fitted, linear = numbers(part, text)
        assert fitted < 0.6 * start
        assert fitted < 1.2 * linear


def test_laplace_knows_where_it_errs(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("laplace_approximation", capsys)
    assert numbers("test accuracy:", text)[0] > 0.9
    assert numbers("errors:", text)[0] > 0.6
    [right], [wrong] = numbers("logit:", text), numbers("right,", text)
    assert wrong > right


def test_the_tangent_kernel_predicts(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("tangent_kernel", capsys)
    kernel, network = numbers("kernel", text), numbers("network", text)
    assert kernel[-1] > 0.95
    assert kernel[-1] > kernel[0]
    assert abs(kernel[-1] - network[-1]) < 0.05


def test_a_levenberg_marquardt_step_is_damped_least_squares() -> None:
    example = load("levenberg_marquardt")
    J, r, w, damping = randn(20, 30), randn(20), randn(30), 0.7
    prior = example["PRIOR"]
    step, predicted = example["lm_step"](J, r, w, damping)
    eye = torch.eye(30, dtype=J.dtype)
    A = torch.cat([J, prior**0.5 * eye, damping**0.5 * eye])
    b = torch.cat([r, prior**0.5 * w, torch.zeros_like(w)])
    expected = torch.linalg.lstsq(A, -b).solution
    torch.testing.assert_close(step, expected)

    def model(step: Tensor) -> Any:
        return (r + J @ step).square().sum() + prior * (w + step).square().sum()

    assert predicted == pytest.approx(float(model(0 * step) - model(step)))


def test_the_precision_is_the_gauss_newton_matrix() -> None:
    example = load("laplace_approximation")
    model, x = mlp(4, 5, 3).float(), randn(7, 4).float()
    J, p = dense(model, x), model(x).detach().softmax(-1)
    H = torch.block_diag(*(torch.diag(row) - torch.outer(row, row) for row in p))
    expected = example["PRIOR"] * torch.eye(J.shape[1]) + J.T @ H @ J
    found = example["precision"](model, x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    factor = torch.linalg.cholesky(expected)
    spread = example["variances"](model, x, factor)
    covariance = J @ torch.linalg.inv(expected) @ J.T
    torch.testing.assert_close(
        spread.flatten(), covariance.diagonal(), rtol=1e-3, atol=1e-4
    )


def test_the_score_counts_pairs() -> None:
    auroc: Callable[[Tensor, Tensor], float] = load("laplace_approximation")["auroc"]
    score = torch.tensor([1.0, 2.0, 2.0, 3.0])
    assert auroc(score, torch.tensor([False, True, False, True])) == 0.875


def test_the_kernel_predicts_as_ridge_regression_on_gradients() -> None:
    example = load("tangent_kernel")
    model, x, x_test, y = (
        mlp(3, 5, 1).float(),
        *map(torch.rand, ((6, 3), (4, 3), (6, 1))),
    )
    J, J_test = dense(model, x), dense(model, x_test)
    inner = J.T @ J + example["RIDGE"] * torch.eye(J.shape[1])
    change = torch.linalg.solve(inner, J.T @ (y - model(x).detach()))
    expected = model(x_test).detach() + J_test @ change
    found = example["solved"](model, x, y, x_test)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_bundle_adjustment_finds_the_scene(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "bundle_adjustment.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert "960 x 276, 7,680 nonzeros" in said
    (residual,) = re.findall(r"residual ([\d.e+-]+) after", said)
    assert float(residual) < 1e-6


def test_backends_of_laplace_torch_predict_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("laplace", reason="make test installs laplace-torch")
    with warnings.catch_warnings():  # the example leaves filters behind
        example = load("laplace_torch")
        warnings.filterwarnings("ignore", "ASDL backend|Full backward|Using a non-full")
        example["measure"].__globals__["ROUNDS"] = 2
        predicted = example["compare"](example["convnet"], "diag")
    assert predicted.keys() == {"jacengine", "default", "BackPACK", "ASDL"}
    for probabilities in predicted.values():
        torch.testing.assert_close(
            probabilities, predicted["default"], rtol=1e-5, atol=1e-5
        )
    text = capsys.readouterr().out
    assert text.count("jacengine") == 2
    assert "666 weights" in text


def test_without_laplace_torch_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "laplace", None)
    with warnings.catch_warnings(), pytest.raises(SystemExit) as left:
        runpy.run_path(str(EXAMPLES / "laplace_torch.py"), run_name="__main__")
    assert left.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "pip install scikit-learn laplace-torch" in said.err


def vmc() -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / "variational_monte_carlo.py"))


def test_variational_monte_carlo_finds_the_ground_state(
    capsys: pytest.CaptureFixture[str],
) -> None:
    vmc()["main"]()
    text = capsys.readouterr().out
    [error] = numbers("relative error", text)
    assert error < 0.01


@pytest.mark.parametrize("spins", [4, 10])
def test_the_exact_energy_is_that_of_free_fermions(spins: int) -> None:
    # P. Pfeuty, 1970: the critical periodic chain, one fermion mode a momentum.
    k = torch.pi * (2 * torch.arange(spins).double() + 1) / spins
    expected = -2 * torch.cos(k / 2).abs().sum() / 1
    assert vmc()["exact_energy"](spins) == pytest.approx(float(expected))


def test_a_minsr_step_solves_the_system_of_the_parameters() -> None:
    example = vmc()
    J, energies = randn(6, 2, 4), torch.view_as_complex(randn(6, 2))
    raw = torch.view_as_complex(J.movedim(1, -1).contiguous())
    logs = raw - raw.mean(0)
    S = (logs.mH @ logs).real / 6 + example["SHIFT"] * torch.eye(4)
    force = (logs.mH @ (energies - energies.mean())).real / 6
    found = example["direction"](J, energies)
    torch.testing.assert_close(found, torch.linalg.solve(S, force))


def test_local_energies_are_those_of_the_matrix() -> None:
    example = vmc()
    model = example["Boltzmann"](3, 2).double()
    states = torch.arange(8)
    s = 2.0 * (states.unsqueeze(1) >> torch.arange(3) & 1).double() - 1
    psi = torch.view_as_complex(model(s).detach()).exp()
    Z, X = torch.diag(torch.tensor([-1.0, 1.0])), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    eye = torch.eye(2)

    def product(*factors: Tensor) -> Tensor:  # spin 0 is the last factor
        return torch.kron(torch.kron(factors[2], factors[1]), factors[0])

    H = -sum(
        (
            product(*(Z if j in pair else eye for j in range(3)))
            for pair in ((0, 1), (1, 2), (2, 0))
        ),
        start=torch.zeros(8, 8),
    ) - sum(
        (product(*(X if j == i else eye for j in range(3))) for i in range(3)),
        start=torch.zeros(8, 8),
    )
    expected = (H.to(psi.dtype) @ psi) / psi
    torch.testing.assert_close(example["local_energies"](model, s), expected)


def test_picture_is_that_of_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / "picture.py"), run_name="__main__")
    shown = EXAMPLES.parent / "docs" / "images" / "jacobian.png"
    sizes = [imread(path).shape[:2] for path in (tmp_path / "jacobian.png", shown)]
    assert sizes[0] == sizes[1]
