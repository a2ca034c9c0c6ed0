"""What a function changes or depends on besides its arguments."""

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from tests.problems import OF_PARAMETERS, mlp, randn

NORM = nn.BatchNorm1d(3, dtype=torch.float64)
LISTED, NAMED = [NORM], {"norm": NORM}


class Solver:
    """An object that holds a module."""

    def __init__(self) -> None:
        self.norm = NORM

    def residual(self, x: Tensor) -> Tensor:
        result: Tensor = self.norm(x)
        return result


SOLVER = Solver()


def helper(x: Tensor) -> Tensor:
    return SOLVER.residual(x)


def by_default(x: Tensor, norm: nn.Module = NORM) -> Tensor:
    result: Tensor = norm(x)
    return result


ROADS: dict[str, Callable[[Tensor], Any]] = {
    "helper": lambda x: 2 * helper(x),
    "default": by_default,
    "list": lambda x: 2 * LISTED[0](x),
    "dict": lambda x: 2 * NAMED["norm"](x),
    "object": lambda x: 2 * SOLVER.norm(x),
    "method": SOLVER.residual,
}


@pytest.mark.parametrize("fn", ROADS.values(), ids=ROADS)
def test_running_statistics_stay_wherever_the_module_is(
    fn: Callable[[Tensor], Any],
) -> None:
    before = [b.clone() for b in NORM.buffers()]
    jacengine.auto(fn, randn(5, 3))
    assert all(map(torch.equal, before, NORM.buffers()))


class Caching(nn.Module):
    """A module that keeps activations and counts in plain attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2, dtype=torch.float64)
        self.calls, self.last, self.kept = 0, torch.zeros(2), list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.last = torch.tanh(self.layer(x))
        self.kept.append(self.last)
        return self.last


@pytest.mark.parametrize("strategy", OF_PARAMETERS)
def test_attributes_stay(strategy: str) -> None:
    model, x = Caching(), randn(5, 3)
    last = model.last
    found = jacengine.jacobian(model, x, strategy=strategy, wrt="params", batch_dim=0)
    assert (model.calls, model.kept) == (0, [])
    assert model.last is last
    slope = (1 - torch.tanh(model.layer(x)) ** 2).detach()
    torch.testing.assert_close(found["layer.bias"], torch.diag_embed(slope))


def test_attributes_stay_where_inputs_are_differentiated() -> None:
    model, x = Caching(), randn(5, 3)
    found = jacengine.auto(model, x, batch_dim=0)
    assert (model.calls, model.kept) == (0, [])
    slope = (1 - torch.tanh(model.layer(x)) ** 2).detach()
    torch.testing.assert_close(found, slope[:, :, None] * model.layer.weight.detach())


def test_a_generator_of_ones_own_is_said_to_be_random_and_restored() -> None:
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()

    def fn(x: Tensor) -> Tensor:
        return x * torch.rand(3, generator=generator, dtype=x.dtype)

    with pytest.raises(jacengine.RandomnessError):
        jacengine.auto(fn, randn(3))
    found = jacengine.auto(fn, randn(3), randomness="same")
    assert torch.equal(generator.get_state(), before)
    drawn = torch.rand(3, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(found, torch.diag(drawn))


class Switch(nn.Module):
    """A module whose attribute decides what it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.mode = "sin"
        self.layer = nn.Linear(3, 3, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.layer(x)
        if self.mode == "coupled":
            return h - h.mean(0)
        return h.sin() if self.mode == "sin" else h[:, :2].exp()


def test_auto_notices_another_branch() -> None:
    model, x = Switch(), randn(4, 3)
    assert jacengine.auto(model, x, batch_dim=0).shape == (4, 3, 3)
    model.mode = "exp"
    assert jacengine.auto(model, x, batch_dim=0).shape == (4, 2, 3)
    model.mode = "coupled"
    with pytest.raises(jacengine.CoupledSamplesError):
        jacengine.auto(model, x, batch_dim=0)


def test_auto_notices_an_edited_module() -> None:
    model, x = mlp(3, 3, 3), randn(4, 3)
    jacengine.auto(model, x, wrt="params", batch_dim=0)
    model[2].weight = model[0].weight
    found = jacengine.auto(model, x, wrt="params", batch_dim=0)
    assert set(found) == {name for name, _ in model.named_parameters()}
    jacengine.auto(model, x, batch_dim=0)
    model[1] = nn.BatchNorm1d(3, dtype=torch.float64)
    with pytest.raises(jacengine.CoupledSamplesError):
        jacengine.auto(model, x, batch_dim=0)


def test_a_plan_notices_outputs_of_another_shape() -> None:
    model, x = Switch(), randn(4, 3)
    plan = jacengine.plan(model, x, batch_dim=0)
    model.mode = "exp"
    with pytest.raises(jacengine.PlanMismatchError, match=r", 2\) torch"):
        plan(x)


def test_auto_plans_anew_where_values_decide_the_shape() -> None:
    def positive(x: Tensor) -> Tensor:
        return x[x > 0] ** 2

    x, y = torch.tensor([1.0, -1.0, 2.0]), torch.tensor([-1.0, 3.0, -2.0])
    assert jacengine.auto(positive, x).shape == (2, 3)
    torch.testing.assert_close(
        jacengine.auto(positive, y), torch.tensor([[0.0, 6.0, 0.0]])
    )


class Unread(Mapping[str, Tensor]):
    """A mapping that must not be read, as one that loads a file for each entry."""

    def __getitem__(self, key: str) -> Tensor:
        raise RuntimeError("read")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("read")

    def __len__(self) -> int:
        return 1


class Holding(nn.Module):
    """A module that holds all sorts of things in plain attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2, dtype=torch.float64)
        self.sparse = torch.eye(2, dtype=torch.float64).to_sparse()
        self.by_parameter = {self.layer.weight: 1, None: 2}
        self.itself: list[Any] = [self]
        self.itself.append(self.itself)
        self.unread, self.event = Unread(), threading.Event()

    def forward(self, x: Tensor) -> Tensor:
        self.event.set()
        result: Tensor = (self.sparse @ self.layer(x).T).T
        return result


def test_whatever_a_module_holds_is_no_obstacle() -> None:
    model, x = Holding(), randn(5, 3)
    found = jacengine.auto(model, x, batch_dim=0)
    torch.testing.assert_close(found, model.layer.weight.detach().expand(5, 2, 3))
    assert model.event.is_set(), "objects of the standard library are not restored"


@pytest.mark.parametrize("wrt", ["inputs", "params"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_traced_modules(wrt: str) -> None:
    model, x = mlp(3, 4, 2), randn(5, 3)
    traced: Any = torch.jit.trace(model, x)
    found = jacengine.auto(traced, x, wrt=wrt, batch_dim=0)
    expected = jacengine.jacobian(
        model, x, wrt=wrt, batch_dim=0, strategy="reverse_loop"
    )
    torch.testing.assert_close(found, expected)


class TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 3, dtype=torch.float64)
        self.b = nn.Linear(3, 3, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.b(self.a(x).tanh())
        return result


def tie(model: TwoLayers) -> None:
    model.b.weight = model.a.weight


def untie(model: TwoLayers) -> None:
    model.b.weight = nn.Parameter(randn(3, 3, seed=4))


def drop_bias(model: TwoLayers) -> None:
    model.a.register_parameter("bias", None)


def add_parameter(model: TwoLayers) -> None:
    model.a.register_parameter("scale", nn.Parameter(randn(1)))


def drop_layer(model: TwoLayers) -> None:
    del model.a
    model.a = nn.Identity()  # type: ignore[assignment]


EDITS: dict[str, tuple[Callable[[TwoLayers], object], Callable[[TwoLayers], None]]] = {
    "tied": (lambda _: None, tie),
    "untied": (tie, untie),
    "bias dropped": (lambda _: None, drop_bias),
    "parameter added": (lambda _: None, add_parameter),
    "layer dropped": (lambda _: None, drop_layer),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_plan_of_a_module_that_is_edited(name: str) -> None:
    prepare, edit = EDITS[name]
    model, x = TwoLayers(), randn(5, 3)
    prepare(model)
    options: Any = {"wrt": "params", "batch_dim": 0}
    plan = jacengine.plan(model, x, **options)
    jacengine.auto(model, x, **options)
    edit(model)
    with pytest.raises(jacengine.PlanMismatchError, match="parameter"):
        plan(x)
    if name == "parameter added":
        return
    again = jacengine.auto(model, x, **options)
    wanted = jacengine.jacobian(model, x, strategy="reverse_loop", **options)
    assert again.keys() == wanted.keys()
    assert all(torch.allclose(again[key], wanted[key]) for key in wanted)


def test_modules_among_the_arguments() -> None:
    def apply(x: Tensor, norm: nn.Module) -> Tensor:
        result: Tensor = norm(x)
        return result

    x, norms = randn(5, 3), [nn.BatchNorm1d(3, dtype=torch.float64) for _ in range(2)]
    before = [b.clone() for n in norms for b in n.buffers()]
    wanted = jacengine.auto(norms[0], x)
    plan = jacengine.plan(apply, x, norms[0])
    for _ in range(2):
        assert torch.allclose(jacengine.auto(apply, x, norms[0]), wanted)
    assert torch.allclose(plan(x, norms[0]), wanted)
    keyword = jacengine.auto(apply, x, kwargs={"norm": norms[0]})
    assert torch.allclose(keyword, wanted)
    with pytest.raises(jacengine.PlanMismatchError, match="modules among the arg"):
        plan(x, norms[1])
    assert torch.allclose(jacengine.auto(apply, x, norms[1]), wanted)
    assert all(map(torch.equal, before, (b for n in norms for b in n.buffers())))
