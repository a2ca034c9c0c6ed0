"""Functions that would do the same have the same fingerprint, and no others."""

import functools
import gc
import types
import weakref
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from jacengine.problem.callee import Callee
from jacengine.problem.fingerprint import Fingerprints

SCALE: Any = 2.0


def _helper(x: Tensor) -> Tensor:
    scaled: Tensor = x * SCALE
    return scaled


class _Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
        self.factor = 1.5
        self.table = [1, 2]
        self.weights: dict[str, Any] = {"a": 0.5}

    def forward(self, x: Tensor) -> Tensor:
        return _helper(self.inner(x)) * self.factor


def _bare() -> _Scaled:
    return _Scaled()


def _closure(model: nn.Module, **captured: Any) -> Callable[[Tensor], Any]:
    return lambda x: (model(x), captured)


def _of(known: Fingerprints, fn: Any) -> Any:
    return known.of(Callee(fn, ()))[0]


WAYS: dict[str, Callable[[nn.Module], Any]] = {
    "module": lambda m: m,
    "lambda": lambda m: lambda x: (m(x), x),
    "partial": lambda m: functools.partial(m.forward),
    "bound method": lambda m: m.forward,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_written_anew_it_is_the_same(way: Callable[[nn.Module], Any]) -> None:
    known, model = Fingerprints(), _bare()
    first = _of(known, way(model))
    hash(first)
    for _ in range(3):
        assert _of(known, way(model)) == first
    assert _of(Fingerprints(), way(_bare())) == _of(Fingerprints(), way(_bare()))


def _tie(model: _Scaled) -> None:
    model.inner[0].weight = model.inner[2].weight


def _hook(model: _Scaled) -> None:
    model.inner[0].register_forward_hook(lambda *_: None)


def _new_class(model: _Scaled) -> None:
    model.__class__ = type("Other", (_Scaled,), {})


CHANGES: dict[str, Callable[[_Scaled], Any]] = {
    "number": lambda m: setattr(m, "factor", 2.5),
    "flag for a number": lambda m: setattr(m, "factor", True),
    "new attribute": lambda m: setattr(m, "other", 1),
    "list": lambda m: m.table.append(3),
    "entry of a list": lambda m: m.table.__setitem__(0, 7),
    "entry of a dict": lambda m: m.weights.update(a=0.25),
    "key of a dict": lambda m: (m.weights.pop("a"), m.weights.update(b=0.5)),
    "attribute of a function": lambda m: setattr(_helper, "flag", object()),
    "training": lambda m: m.inner[1].eval(),
    "layer": lambda m: m.inner.__setitem__(1, nn.ReLU()),
    "bias": lambda m: setattr(m.inner[0], "bias", None),
    "frozen": lambda m: m.inner[0].weight.requires_grad_(False),
    "dtype": lambda m: m.double(),
    "shape": lambda m: setattr(m.inner[0].weight, "data", torch.zeros(4, 3)),
    "tied": _tie,
    "hook": _hook,
    "class": _new_class,
    "global": lambda m: globals().__setitem__("SCALE", 3.0),
    "global of another type": lambda m: globals().__setitem__("SCALE", None),
    "class's forward": lambda m: setattr(type(m), "forward", lambda self, x: x),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_noticed(
    change: Callable[[_Scaled], Any],
    way: Callable[[nn.Module], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    monkeypatch.setattr(_Scaled, "forward", _Scaled.forward)
    monkeypatch.setattr(_helper, "flag", None, raising=False)
    known, model = Fingerprints(), _bare()
    before = _of(known, way(model))
    assert _of(known, way(model)) == before
    change(model)
    assert _of(known, way(model)) != before


A, B, RELU = torch.zeros(2), torch.zeros(2), nn.ReLU()


def _object(**attributes: Any) -> Any:
    return types.SimpleNamespace(**attributes)


def _flagged(place: int) -> nn.Module:
    layers: Any = nn.Sequential(nn.Tanh(), nn.Tanh())
    layers[place].flag = True
    return cast("nn.Module", layers)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, True),
        (0.0, -0.0),
        ("a", "b"),
        (None, 0),
        (torch.zeros(2), torch.zeros(3)),
        (torch.zeros(2), torch.zeros(2).double()),
        (int, float),
        (torch.sin, torch.cos),
        (_helper, _tie),
        ([1], [1, 2]),
        ((1,), [1]),
        ({"a": 1}, {"b": 1}),
        (types.SimpleNamespace(a=1), types.SimpleNamespace(b=1)),
        (torch, torch.nn.functional),
        (torch.func.grad(_helper), torch.func.grad(_tie)),
        (torch.no_grad()(_helper), torch.no_grad()(_tie)),
        (functools.partial(max, 1), functools.partial(max, 2)),
        (functools.lru_cache(_helper), functools.lru_cache(_tie)),
        (nn.Parameter(torch.zeros(2)), torch.zeros(2).requires_grad_()),
        ([torch.sin, torch.cos, torch.sin], [torch.sin, torch.cos, torch.cos]),
        ((A, B, A), (A, B, B)),
        ([RELU, torch.sin], [torch.sin, RELU]),
        ([_object(flag=1), _object()], [_object(), _object(flag=1)]),
        (slice(1), slice(2)),
        (_flagged(0), _flagged(1)),
    ],
)
def test_captured_values_differ(one: Any, other: Any) -> None:
    known, model = Fingerprints(), _bare()
    assert _of(known, _closure(model, v=one)) == _of(known, _closure(model, v=one))
    assert _of(known, _closure(model, v=one)) != _of(known, _closure(model, v=other))


def test_parameters_tied_across_modules() -> None:
    known, one, two = Fingerprints(), nn.Linear(2, 2), nn.Linear(2, 2)

    def fresh() -> Any:
        return lambda x: (one(x), two(x))

    before = _of(known, fresh())
    two.weight = one.weight
    tied = _of(known, fresh())
    assert tied != before
    one.weight = nn.Parameter(torch.zeros(2, 2))
    assert _of(known, fresh()) == before


def test_nothing_is_kept_alive() -> None:
    known = Fingerprints()
    for hooked in (False, True):
        model: Any = _bare()
        layer: Any = None
        if hooked:  # refers to the model by a way that is not its own
            layer = model.inner[0]
            layer.weight.register_hook(functools.partial(_keep, model))
        _of(known, model)
        _of(known, _closure(model))
        gone = [weakref.ref(model), weakref.ref(model.inner[0].weight)]
        model = layer = None
        gc.collect()
        assert [each() for each in gone] == [None, None]


def _keep(model: nn.Module, gradient: Tensor) -> Tensor:
    del model
    return gradient


def test_a_model_that_refers_to_itself_is_not_kept_alive() -> None:
    known, model = Fingerprints(), _bare()
    setattr(model.inner[0], "parent", [model])  # noqa: B010
    _of(known, model)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
