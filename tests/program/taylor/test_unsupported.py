"""Constants, functions that are refused, and memory that is freed."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from jacengine.errors import UnsupportedError
from jacengine.program.taylor.jet import Jet
from jacengine.program.taylor.propagate import propagate
from tests.program.taylor.reference import check, point, reference, seeds


class Doubled(torch.autograd.Function):
    """A function whose backward is not its derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * x

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Tensor:
        return cotangents[0]


class Enabled(Doubled):
    """The same, recording inside of its forward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        with torch.enable_grad():
            return x * x


class Passed(Doubled):
    """A function that returns what it gets."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x


def without_grad(x: Tensor) -> Tensor:
    with torch.no_grad():
        scale = x.exp().sum()
    return scale * x * x


def guided(x: Tensor) -> Tensor:
    if x.sum() > 0 and x.shape[0] == len(x) and x.dim() == 2 and x.is_floating_point():
        return x * x * float(x[0, 0]) * x[0, 1].item()
    return x


CONSTANTS: dict[str, Callable[[Tensor], Any]] = {
    "no_grad": without_grad,
    "detach": lambda x: x.detach() * x * x,
    "data": lambda x: x.data * x * x,
    "sign": lambda x: torch.sign(x) * x * x,
    "comparison": lambda x: (x > 0) * x * x,
    "zeros_like": lambda x: torch.zeros_like(x) + x * x,
    "new_ones": lambda x: x.new_ones(2) * x * x,
    "branch": lambda x: guided(x.abs()),
    "no input": lambda _: torch.ones(2, dtype=torch.float64),
    "detached output": lambda x: x.detach() ** 2,
}


@pytest.mark.filterwarnings("ignore:Converting a tensor")
@pytest.mark.parametrize("name", CONSTANTS)
def test_constant_has_no_derivative(name: str) -> None:
    check(CONSTANTS[name], point(4, 2))


def in_place(x: Tensor) -> Tensor:
    y = x * x
    y += 1
    return y


def written(x: Tensor) -> Tensor:
    y = torch.zeros(4, 2, dtype=x.dtype)
    y[0] = x[0]
    return y


REFUSED: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "iadd": (in_place, "in place"),
    "setitem": (written, "in place"),
    "method": (lambda x: (x * x).mul_(2), "mul_ changes"),
    "inplace": (lambda x: F.relu(x * x, inplace=True), "relu changes"),
    "out": (lambda x: torch.add(x, x, out=torch.zeros(4, 2).double()), "in place"),
    "copy_": (lambda x: torch.zeros(4, 2).double().copy_(x), "copy_ changes"),
    "dropout": (lambda x: F.dropout(x, 0.5, training=True), "random"),
    "bernoulli": (lambda x: torch.bernoulli(x.sigmoid()), "bernoulli"),
    "numpy": (lambda x: torch.from_numpy(np.sin(x.numpy())), "numpy leaves"),
    "asarray": (lambda x: torch.from_numpy(np.sin(x)), "leaves torch"),
    "batch_norm": (
        lambda x: F.batch_norm(x, torch.zeros(2), torch.ones(2), training=True),
        "batch_norm",
    ),
    "complex": (lambda x: torch.fft.fft(x).abs(), "complex"),
    "as_strided": (lambda x: x.as_strided((2,), (1,)), "as_strided depends"),
    "view as bits": (lambda x: x.view(torch.float32), "view"),
    "no formula": (
        lambda x: torch.nn.functional.ctc_loss(
            x.reshape(4, 1, 2).log_softmax(2),
            torch.ones(1, 1).long(),
            torch.tensor([4]),
            torch.tensor([1]),
        ),
        "ctc_loss",
    ),
    "wrong in torch": (lambda x: torch.linalg.solve_ex(x[:2], x[2:])[0], "not those"),
    "wrong in torch too": (
        lambda x: torch.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5)[
            0
        ],
        "not those",
    ),
    "own backward": (Doubled.apply, "custom autograd function"),
    "own backward, recorded": (Enabled.apply, "custom autograd function"),
    "own backward, passed on": (Passed.apply, "past|custom|compiled"),
    "checkpoint": (lambda x: checkpoint(torch.exp, x, use_reentrant=True), "custom"),
    "inner gradient": (
        lambda x: torch.autograd.grad((x * x).sum(), x)[0],
        "reverse mode",
    ),
    "functional gradient": (
        torch.func.grad(lambda z: z.sin().sum()),
        "transform",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_refused(name: str) -> None:
    function, reason = REFUSED[name]
    x = point(4, 2)
    with pytest.raises(UnsupportedError, match=reason):
        propagate(lambda x: (function(x),), (x,), seeds((x,), broadcast=False))


@pytest.mark.filterwarnings("ignore")
def test_compiled_code_raises() -> None:
    script: Any = torch.jit.trace(torch.tanh, point(4, 2))
    x = point(4, 2)
    with pytest.raises(RuntimeError, match=r"compiled code|TorchScript"):
        propagate(lambda x: (script(x),), (x,), seeds((x,), broadcast=False))


def test_new_style_checkpoint_runs() -> None:
    check(
        lambda x: checkpoint(lambda z: (z * z).exp(), x, use_reentrant=False),
        point(4, 2),
    )


def test_a_pass_inside_of_a_custom_function_runs() -> None:
    x = point(4, 2)
    tangents = seeds((x,), broadcast=False)

    class Outer(Doubled):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return propagate(lambda x: (x**3,), (x,), tangents)[0]

    expected = 6 * x * tangents[0].square().sum(0)
    found = Outer.apply(x)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found, expected)


def test_a_primal_without_gradients_keeps_those_of_parameters() -> None:
    x, t = point(4, 2).requires_grad_(), point(4, 2)
    weight = torch.ones(2, dtype=x.dtype, requires_grad=True)
    (found,) = propagate(
        lambda x, t: ((weight * t) ** 2 * x.detach(),),
        (x, t),
        seeds((x, t), broadcast=True),
    )
    assert torch.autograd.grad(found.sum(), weight)[0].abs().min() > 0


def test_parameters_in_functions_without_a_rule_keep_their_gradients() -> None:
    x = point(4, 2).requires_grad_()
    weight = torch.tensor(0.3, dtype=x.dtype, requires_grad=True)
    tangents = seeds((x,), broadcast=True)

    def function(x: Tensor) -> Tensor:
        return torch.lerp(x, x * x, weight).sum(1)

    (found,) = propagate(lambda x: (function(x),), (x,), tangents)
    (slope,) = torch.autograd.grad(found.sum(), weight)
    (expected,) = torch.autograd.grad(reference(function, (x,), tangents).sum(), weight)
    torch.testing.assert_close(slope, expected)


def test_no_direction_adds_nothing() -> None:
    x = point(4, 2)
    (found,) = propagate(lambda x: (torch.lgamma(x),), (x,), (x.expand(0, 4, 2),))
    assert torch.equal(found, torch.zeros_like(x))


def test_nothing_is_recorded_without_need() -> None:
    weight = torch.ones(2, dtype=torch.float64, requires_grad=True)
    x = point(4, 2)
    for primal, allowed in ((x, True), (x.clone().requires_grad_(), False)):
        with torch.set_grad_enabled(allowed):
            (found,) = propagate(
                lambda x: ((weight * x).exp(),), (primal,), seeds((x,), broadcast=True)
            )
            assert torch.is_grad_enabled() is allowed
        assert not found.requires_grad
    assert bool((found != 0).all())


def test_jets_are_dropped_as_the_function_drops_them() -> None:
    dead: list[bool] = []

    def function(x: Tensor) -> tuple[Tensor, ...]:
        h = torch.tanh(x)
        assert isinstance(h, Jet)
        seen = weakref.ref(h.tangents)
        y = h.exp()
        del h
        dead.append(seen() is None)
        return (y.sum(1),)

    gc.disable()
    try:
        x = point(4, 2)
        propagate(function, (x,), seeds((x,), broadcast=False))
    finally:
        gc.enable()
    assert dead == [True]
