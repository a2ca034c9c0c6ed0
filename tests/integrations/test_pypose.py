"""PyPose's own Jacobians and trajectories, with its `modjac` as the reference."""

import runpy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jacengine import ArgumentError, OutputTypeError
from jacengine.integrations.pypose import modjac

pp: Any = pytest.importorskip("pypose", reason="make test installs pypose")
functional: Any = pytest.importorskip("pypose.optim.functional")
DOUBLE = torch.float64


def original(*args: Any, **kwargs: Any) -> Any:
    """Call PyPose's own, which warns of the shapes of what it flattens."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Tensor Shape Invalid")
        return functional.modjac(*args, **kwargs)


class PoseInverse(nn.Module):
    """Poses in a Lie algebra; the residual is one of a group."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.pose = pp.Parameter(pp.randn_se3(2, dtype=DOUBLE))

    def forward(self, x: Any) -> Any:
        return (self.pose.Exp() @ x).Log()


class PoseNet(nn.Module):
    """Poses in a Lie group, a scale and a network; two residuals."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.pose = pp.Parameter(pp.randn_SE3(4, dtype=DOUBLE))
        self.scale = nn.Parameter(torch.rand(3, dtype=DOUBLE))
        self.net = nn.Sequential(nn.Linear(3, 5, dtype=DOUBLE), nn.Tanh())
        self.fixed = nn.Parameter(torch.ones(3, dtype=DOUBLE), requires_grad=False)

    def forward(self, points: Tensor, target: Any) -> tuple[Any, ...]:
        moved = self.pose.Act(points * self.scale * self.fixed)
        return self.net(moved), (target @ self.pose.Inv()).Log()


def poses(*shape: int) -> Any:
    torch.manual_seed(2)
    return pp.randn_SE3(*shape, dtype=DOUBLE)


def cases() -> list[tuple[nn.Module, Any]]:
    torch.manual_seed(3)
    points = torch.randn(4, 3, dtype=DOUBLE)
    return [
        (PoseInverse(), poses(2)),
        (PoseInverse(), (poses(2),)),
        (PoseNet(), (points, poses(4))),
        (nn.Linear(3, 2, dtype=DOUBLE), points),
    ]


@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize("case", range(4))
def test_equal_to_the_original(case: int, flatten: bool) -> None:
    model, x = cases()[case]
    expected = original(model, x, flatten=flatten)
    for vectorize in (False, True):
        found = modjac(model, x, vectorize=vectorize, flatten=flatten)
        torch.testing.assert_close(found, expected)
        assert type(found) is type(expected)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_no_input() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pose = pp.Parameter(pp.randn_so3(2, dtype=DOUBLE))

        def forward(self) -> Any:
            return self.pose.Exp().matrix()

    model = Constant()
    torch.testing.assert_close(modjac(model), original(model))


def test_create_graph() -> None:
    model, x = PoseInverse(), poses(2)
    found, expected = (
        torch.autograd.grad(
            jac(model, x, create_graph=True, flatten=True).square().sum(),
            [model.pose],
        )[0]
        for jac in (modjac, original)
    )
    assert expected.any()
    torch.testing.assert_close(found, expected)


def trajectory(jac: Any, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    with monkeypatch.context() as patch:
        patch.setattr("pypose.optim.optimizer.modjac", jac)
        model, target = PoseInverse(), poses(2)
        strategy = pp.optim.strategy.Adaptive(damping=1e-6)
        optimizer = pp.optim.LevenbergMarquardt(model, strategy=strategy)
        found: list[Tensor] = []
        for _ in range(6):
            loss = optimizer.step(target)
            found += [loss.detach(), model.pose.detach().tensor().clone()]
    return found


@pytest.mark.filterwarnings("ignore:Tensor Shape Invalid")  # of PyPose's optimizer
def test_trajectory_of_levenberg_marquardt(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return modjac(*args, **kwargs)

    expected = trajectory(original, monkeypatch)
    found = trajectory(counted, monkeypatch)
    assert len(calls) == 6
    assert expected[-2] < 1e-9 < expected[0]
    torch.testing.assert_close(found, expected)


def test_refusals() -> None:
    model = nn.Linear(3, 2)
    with pytest.raises(ArgumentError, match="strict=True"):
        modjac(model, torch.randn(3), strict=True)
    with pytest.raises(ArgumentError, match="strategy='vmap_jvp'"):
        modjac(model, torch.randn(3), strategy="vmap_jvp")
    with pytest.raises(FloatingPointError, match="not a number"):
        modjac(model, torch.full((3,), torch.nan))

    class Named(nn.Linear):
        def forward(self, input: Tensor) -> Any:  # noqa: A002 - as of the base class
            return {"out": super().forward(input)}

    with pytest.raises(OutputTypeError, match="returned a dict"):
        modjac(Named(3, 2), torch.randn(3))


def test_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pypose.optim.optimizer.modjac", functional.modjac)
    example = Path(__file__).parents[2] / "examples" / "pypose_levenberg_marquardt.py"
    runpy.run_path(str(example), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    for line in lines[1:7]:
        _, theirs, ours = map(float, line.split())
        assert ours == pytest.approx(theirs, rel=1e-5)
    assert float(lines[-1].split()[-1]) < 1e-2
