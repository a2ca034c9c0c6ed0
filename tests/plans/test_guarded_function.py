"""Functions that are asked for often are recognised by TorchDynamo's guards."""

import functools
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine._torch_compile import GuardedCaptures
from jacengine.plans import guarded_function, process_cache
from jacengine.plans.guarded_function import code_of
from tests.problems import mlp, randn

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

X = randn(5, 3)


@pytest.fixture(autouse=True)
def _free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let captures cost nothing, so that they are made at the second call."""
    monkeypatch.setattr(guarded_function, "CAPTURE_S", 0.0)
    monkeypatch.setattr(guarded_function, "MODULE_S", 0.0)
    monkeypatch.setattr(guarded_function, "IMPORT_S", 0.0)


@pytest.fixture
def fingerprints(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Count the fingerprints that are taken."""
    taken: list[object] = []
    real = process_cache.identity_of

    def counted(request: Any, *further: Any) -> Any:
        taken.append(request)
        return real(request, *further)

    monkeypatch.setattr(process_cache, "identity_of", counted)
    return taken


def _auto(fn: Any, x: Tensor, **options: Any) -> Any:
    return jacengine.auto(fn, x, batch_dim=0, effort="none", **options)


def _right(fn: Any, x: Tensor) -> Tensor:
    rows: Tensor = torch.func.vmap(torch.func.jacrev(fn))(x)
    return rows


def test_fresh_functions_need_no_fingerprint(fingerprints: list[object]) -> None:
    net, x = mlp(3, 4, 2), randn(5, 3)
    calls: list[Callable[[], Any]] = [
        lambda: _auto(lambda v: net(v), x),  # noqa: PLW0108
        lambda: _auto(net.forward, x),
        lambda: _auto(functools.partial(net), x),
        lambda: _auto(net, x),
        lambda: jacengine.jacobian(
            lambda v: 2 * net(v), x, strategy="vmap_vjp", batch_dim=0
        ),
        lambda: jacengine.laplacian(lambda v: net(v)[..., 0], x, batch_dim=0),
        lambda: jacengine.operator(net, x, wrt="params", batch_dim=0).gram(),
    ]
    for call in calls:
        first = call()
        call()
        before = len(fingerprints)
        assert before
        torch.testing.assert_close(call(), first)
        assert len(fingerprints) == before


class Net(nn.Module):
    """Reads what can change: attributes, lists, flags, hooks, submodules."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2).double()
        self.rate = 1.0
        self.scales = [1.0, 2.0]
        self.spare = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        y: Tensor = self.layer(x) ** 2
        if self.training:
            y = y * 2
        return y * self.rate * self.scales[1]


def _tripled(_: Any, __: Any, output: Any) -> Any:
    return 3 * output


CHANGES: dict[str, Callable[[Net], object]] = {
    "a weight": lambda net: nn.init.ones_(net.layer.weight),
    "another parameter": lambda net: setattr(
        net.layer, "weight", nn.Parameter(randn(2, 3))
    ),
    "a parameter of another shape": lambda net: setattr(
        net, "layer", nn.Linear(3, 4).double()
    ),
    "an attribute": lambda net: setattr(net, "rate", 3.0),
    "an entry of a list": lambda net: net.scales.__setitem__(1, 5.0),
    "the training flag": lambda net: net.train(not net.training),
    "a hook": lambda net: net.layer.register_forward_hook(_tripled),
    "another layer": lambda net: setattr(net, "layer", nn.Tanh()),
    "another forward": lambda net: setattr(net, "forward", lambda x: x**3),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_is_noticed(name: str) -> None:
    net, x = Net(), randn(5, 3)
    for _ in range(3):
        torch.testing.assert_close(_auto(lambda v: net(v), x), _right(net, x))  # noqa: PLW0108
    CHANGES[name](net)
    for _ in range(3):
        torch.testing.assert_close(_auto(lambda v: net(v), x), _right(net, x))  # noqa: PLW0108


@pytest.mark.parametrize("values", [(2.0, 3.0), (2, 3), ("a", "b"), (False, True)])
def test_closures_over_other_values(values: tuple[Any, Any]) -> None:
    def make(value: Any) -> Callable[[Tensor], Tensor]:
        def function(x: Tensor) -> Tensor:
            if isinstance(value, str):
                return x.sin() if value == "a" else x.cos()
            product: Tensor = x**2 * value
            return product

        return function

    x = randn(5, 3)
    for _ in range(3):
        for value in values:
            found = _auto(make(value), x)
            torch.testing.assert_close(found, _right(make(value), x))


def test_parameters_that_the_code_does_not_read() -> None:
    net, x = Net(), randn(5, 3)
    for _ in range(3):
        assert _auto(net, x, wrt="params")["spare"].shape == (5, 2, 2)
    net.spare = nn.Parameter(torch.zeros(7).double())
    assert _auto(net, x, wrt="params")["spare"].shape == (5, 2, 7)
    net.further = nn.Parameter(torch.zeros(1).double())
    assert _auto(net, x, wrt="params").keys() == dict(net.named_parameters()).keys()


def test_arguments_that_the_code_does_not_read() -> None:
    def function(x: Tensor, y: Tensor) -> Tensor:
        return x**2

    for count in (4, 4, 4, 7):
        found = jacengine.auto(function, randn(3), randn(count), wrt=(0, 1))
        assert found[1].shape == (3, count)


def test_branches_on_values_are_not_captured(
    fingerprints: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []
    spend = guarded_function.GuardedFunction.spend

    def counted(self: Any, *args: Any) -> None:
        before = self._count
        spend(self, *args)
        tried.extend(range(self._count - before))

    monkeypatch.setattr(guarded_function.GuardedFunction, "spend", counted)

    def function(x: Tensor) -> Tensor:
        return x**2 if x.sum() > 0 else x**3

    for x in (randn(4).abs(), -randn(4).abs()) * 3:
        found = jacengine.auto(function, x, effort="none")
        torch.testing.assert_close(found, torch.func.jacrev(_taken(x))(x))
    assert len(fingerprints) == 6
    assert tried


def _taken(x: Tensor) -> Callable[[Tensor], Tensor]:
    return (lambda v: v**2) if x.sum() > 0 else (lambda v: v**3)


def test_nothing_is_kept_alive_or_marked() -> None:
    gone: list[Any] = []
    x = randn(5, 3)
    for _ in range(5):
        net = Net()
        before = [vars(p).copy() for p in net.parameters()]
        _auto(lambda v, net=net: net(v), x)
        assert [vars(p) for p in net.parameters()] == before
        gone.append(weakref.ref(net))
        del net
    gc.collect()
    assert [ref() for ref in gone] == [None] * 5


def test_draws_of_other_threads_are_not_repeated() -> None:
    drawn: list[tuple[float, ...]] = []
    stop = threading.Event()

    def draw() -> None:
        while not stop.is_set():
            drawn.append(tuple(torch.rand(4).tolist()))

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        for i in range(3):
            captures = GuardedCaptures[int]()
            captures.capture(lambda x, i=i: x.sin() * i, (X,), {}, lambda *_: 1)
    finally:
        stop.set()
        thread.join()
    assert drawn
    assert len(set(drawn)) == len(drawn)


def test_random_states_are_left_alone() -> None:
    net, x = mlp(3, 4, 2), randn(5, 3)
    _auto(lambda v: net(v) + 2, x)
    before = torch.get_rng_state()
    for _ in range(3):
        _auto(lambda v: net(v) + 2, x)
    assert torch.equal(before, torch.get_rng_state())


def test_code_of() -> None:
    net = Net()
    assert code_of(functools.partial(net.forward)) is Net.forward.__code__
    assert code_of(net) is Net
    assert code_of(torch.sin) is None
