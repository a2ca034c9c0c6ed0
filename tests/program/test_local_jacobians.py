"""Every rule of an operator gives what autograd gives, in float64.

To try a new rule, add a line to `OPERATORS`.
"""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import jacengine
from jacengine.errors import UnsupportedError
from jacengine.program.chain import chain
from jacengine.program.eliminate import Elimination
from jacengine.program.program import Program, Programs
from tests.problems import randn

Function = Callable[[Tensor], Tensor]
Y, ROW, COLUMN, W, BIAS = randn(3, 4), randn(4), randn(3, 1), randn(4, 5), randn(5)
MASK = Y > 0


def _no_grad(x: Tensor) -> Tensor:
    with torch.no_grad():
        return x.exp()


def _written(x: Tensor) -> Tensor:
    y = x.sin()
    y[0] = 2 * x[1]
    return y


OPERATORS: dict[str, Function] = {
    "sin": torch.sin,
    "exp": torch.exp,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "cos": torch.cos,
    "log": lambda x: (3 + x.square()).log(),
    "sqrt": lambda x: (1 + x.square()).sqrt(),
    "inverse": lambda x: (3 + x.square()).reciprocal(),
    "product with a constant": lambda x: x.sin() * -2.5,
    "gelu": torch.nn.functional.gelu,
    "square": lambda x: x**2,
    "reciprocal": lambda x: 1 / (3 + x),
    "negative": lambda x: -x,
    "sum": lambda x: x + Y,
    "sum of both": lambda x: x + x.sin(),
    "twice itself": lambda x: x + x,
    "sum with a factor": lambda x: torch.add(x, x.cos(), alpha=3),
    "difference": lambda x: Y - x,
    "product": lambda x: x * Y,
    "product with itself": lambda x: x * x,
    "product of two paths": lambda x: x.sin() * x.cos(),
    "quotient": lambda x: x / (2 + x.square()),
    "broadcast row": lambda x: x * ROW,
    "broadcast column": lambda x: x - COLUMN,
    "broadcast number": lambda x: 3 * x + 1,
    "where": lambda x: torch.where(MASK, x, x.exp()),
    "maximum": lambda x: torch.maximum(x, Y),
    "clamp": lambda x: x.clamp(-0.5, 0.5),
    "matrix product": lambda x: x @ W,
    "linear layer": lambda x: torch.addmm(BIAS, x, W),
    "scaled linear layer": lambda x: torch.addmm(BIAS, x, W, alpha=2, beta=3),
    "view": lambda x: x.reshape(2, 6).sin(),
    "unsqueeze": lambda x: x.unsqueeze(1).exp(),
    "squeeze": lambda x: x.unsqueeze(0).squeeze(0) * 2,
    "flatten": lambda x: x.flatten() * 2,
    "clone": lambda x: x.clone() * 2,
    "transposed": lambda x: x.T.sin(),
    "softmax": lambda x: x.softmax(-1),
    "sum of rows": lambda x: x.sum(0).sin(),
    "two layers": lambda x: torch.tanh(x @ W) @ W.T,
    "residual": lambda x: x + torch.tanh(x @ W) @ W.T,
    "gate": lambda x: x.sum(1, keepdim=True).sigmoid() * x,
    "stopped": lambda x: x.detach() * x.sin(),
    "straight-through": lambda x: x + (x.round() - x).detach(),
    "no_grad": lambda x: _no_grad(x) * x,
    "in place": lambda x: x.clone().mul_(2).add_(1).sin(),
    "written into": _written,
    "complex": lambda x: torch.fft.rfft(x).abs(),
    "sort": lambda x: x.sort(-1).values.exp(),
    "gradient inside": torch.func.grad(lambda v: v.pow(3).sum()),
    "identity": lambda x: x,
}


def _eliminated(function: Function, x: Tensor) -> tuple[Elimination, Tensor]:
    leaf = x.detach().requires_grad_()
    program, inputs = Programs().of(function, (leaf,), {})
    place = next(i for i, value in enumerate(inputs) if value is leaf)
    plan = Elimination.of(program, place, 1)
    return plan, plan.jacobian([value.detach() for value in inputs])


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
def test_as_autograd(name: str, layout: str) -> None:
    function = OPERATORS[name]
    x = randn(3, 4) if layout == "contiguous" else randn(4, 3).T
    wanted = torch.autograd.functional.jacobian(function, x)
    found = _eliminated(function, x)[1]
    torch.testing.assert_close(found.reshape(wanted.shape), wanted)


def _orders(program: Program, place: int, x: list[Tensor]) -> dict[str, Tensor]:
    """Compute by every order that only pulls, only pushes, or splits somewhere."""
    plan = Elimination.of(program, place, 1)
    count = len(plan.segments)
    found: dict[str, Tensor] = {"chosen": plan.jacobian(x)}
    step = plan.order[0, count]
    for pulls in (True, False):
        order = {
            pair: type(step)(0.0, known.kind, pulls=pulls)
            for pair, known in plan.order.items()
        }
        one_way = Elimination(program, plan.start, plan.segments, order)
        found["pulls" if pulls else "pushes"] = one_way.jacobian(x)
        for split in range(1, count):
            known = plan.order[0, count].kind
            both = {**order, (0, count): type(step)(0.0, known, split=split)}
            split_plan = Elimination(program, plan.start, plan.segments, both)
            found[f"{pulls}, split at {split}"] = split_plan.jacobian(x)
    return found


@pytest.mark.parametrize("name", ["two layers", "residual", "sum of rows", "gate"])
def test_every_order_gives_the_same(name: str) -> None:
    function, x = OPERATORS[name], randn(3, 4)
    leaf = x.detach().requires_grad_()
    program, inputs = Programs().of(function, (leaf,), {})
    place = next(i for i, value in enumerate(inputs) if value is leaf)
    values = [value.detach() for value in inputs]
    wanted = torch.autograd.functional.jacobian(function, x)
    for order, found in _orders(program, place, values).items():
        torch.testing.assert_close(found.reshape(wanted.shape), wanted, msg=order)


def test_what_has_no_program_says_why() -> None:
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return 2 * x

        @staticmethod
        def backward(ctx: object, *g: Tensor) -> Tensor:
            return 2 * g[0]

    reasons: dict[str, Function] = {
        "autograd_function_apply": Doubled.apply,
        "random numbers": torch.rand_like,
        "several tensors": lambda x: (x + 2, x + 1),  # type: ignore[return-value, dict-item]
    }
    leaf = randn(3).requires_grad_()
    for reason, function in reasons.items():
        with pytest.raises(UnsupportedError, match=reason):
            Programs().of(function, (leaf,), {})
    program, inputs = Programs().of(lambda x: x.detach() * 2, (leaf,), {})
    with pytest.raises(UnsupportedError, match="does not depend on the input"):
        chain(program, program.inputs[[v is leaf for v in inputs].index(True)])


def test_a_bottleneck_is_formed_from_both_sides() -> None:
    torch.manual_seed(0)
    widths = (40, 20, 2, 20, 40)
    net = torch.nn.Sequential(
        *(
            layer
            for a, b in itertools.pairwise(widths)
            for layer in (torch.nn.Linear(a, b), torch.nn.Tanh())
        )
    ).double()
    x = randn(1, 40)
    plan, found = _eliminated(net, x)
    step = plan.order[0, len(plan.segments)]
    assert step.split is not None
    assert plan.segments[step.split].start.meta["val"].numel() == 2
    wanted = torch.autograd.functional.jacobian(net, x)
    torch.testing.assert_close(found, wanted.reshape(40, 40))
    assert str(plan).count("x") >= 1


def test_numbers_among_the_arguments_are_those_of_today() -> None:
    def scaled(x: Tensor, scale: float) -> Tensor:
        return scale * x**2

    x = randn(5, 3)
    options: dict[str, Any] = {"batch_dim": (0, None), "strategies": ["elimination"]}
    plan = jacengine.plan(scaled, x, 2.0, effort="none", **options)
    for scale in (2.0, 3.0, 2.0):
        torch.testing.assert_close(plan(x, scale), torch.diag_embed(2 * scale * x))
