"""What autograd has to say about a function: no graph, cut graph, own backward."""

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tests.contract.build_problem import function, randn, scenario
from tests.contract.scenario import Case, Scenario

Context: TypeAlias = Any


class _OldCube(torch.autograd.Function):
    """The cube, in the style in which `forward` also saves."""

    @staticmethod
    def forward(ctx: Context, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Context, *grad_outputs: Tensor) -> Tensor:
        x: Tensor = ctx.saved_tensors[0]
        return 3.0 * x.square() * grad_outputs[0]


class _NewCube(torch.autograd.Function):
    """The cube, with `setup_context`, but neither a vmap rule nor a jvp."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x**3

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx: Context, *grad_outputs: Tensor) -> Tensor:
        x: Tensor = ctx.saved_tensors[0]
        return 3.0 * x.square() * grad_outputs[0]


class _MappedCube(_NewCube):
    """The cube with a vmap rule made by PyTorch, but no jvp."""

    generate_vmap_rule = True


_old_cube = cast("Callable[[Tensor], Tensor]", _OldCube.apply)
_new_cube = cast("Callable[[Tensor], Tensor]", _NewCube.apply)
_mapped_cube = cast("Callable[[Tensor], Tensor]", _MappedCube.apply)


def _old_style(x: Tensor) -> Tensor:
    return _old_cube(x.sin()) * x[..., :1]


def _new_style(x: Tensor) -> Tensor:
    return _new_cube(x.sin()) * x[..., :1]


def _mapped_style(x: Tensor) -> Tensor:
    return _mapped_cube(x.sin()) * x[..., :1]


def _constant(x: Tensor) -> Tensor:
    return torch.arange(2.0, dtype=x.dtype)


def _partly_constant(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return torch.ones(2, dtype=x.dtype), x.sin(), (0.0 * x).sum()


def _unused(x: Tensor, y: Tensor) -> Tensor:
    return x[:2].sin() + 0.0 * y.detach().sum()


def _identity(x: Tensor) -> Tensor:
    return x


def _view(x: Tensor) -> Tensor:
    return x.t()[1:]


def _with_itself(x: Tensor) -> dict[str, Tensor]:
    return {"x": x, "sum": x.sum(-1)}


def _no_grad(x: Tensor) -> Tensor:
    with torch.no_grad():
        scale = x.exp().sum(-1, keepdim=True)
    return x.sin() * scale


def _detach(x: Tensor) -> Tensor:
    return x.cumsum(-1) * x.detach().cos()


def _branch(x: Tensor) -> Tensor:
    if float(x.detach().sum()) > 0.0:
        return x.sin().cumsum(-1)[..., 1:]
    return x.square()[..., 1:]


def _loop(x: Tensor) -> Tensor:
    steps = 0
    while float(x.detach().abs().max()) > 0.5 and steps < 8:
        x = 0.7 * x.sin() + 0.1 * x.roll(1, -1)
        steps += 1
    return x


def _expensive(x: Tensor) -> Tensor:
    return x.sin().exp() * x.sum(-1, keepdim=True)


def _checkpointed(x: Tensor) -> Tensor:
    out: Tensor = checkpoint(_expensive, x.tanh(), use_reentrant=False)
    return out[..., 1:]


def _in_place(x: Tensor) -> Tensor:
    out = x.sin()
    out.mul_(x[..., :1])
    out[..., 1] += out[..., 0]
    return out


def _into_zeros(x: Tensor) -> Tensor:
    out = torch.zeros(*x.shape[:-1], x.shape[-1] + 1, dtype=x.dtype)
    out[..., 1:] = x.square()
    out[..., 0] = x.prod(-1)
    return out


def _closure() -> Case:
    weight = randn(4, 3).requires_grad_()
    return Case(lambda x: (weight @ x).sin(), (randn(3),))


def _closure_batched() -> Case:
    weight = randn(3, 4).requires_grad_()
    return Case(lambda x: (x @ weight).sin(), (randn(2, 3),))


def _negative() -> Case:
    return Case(_branch, (-randn(3).abs(),))


def _eye(case: Case) -> Tensor:
    x: Tensor = case.args[0]
    return torch.eye(x.numel(), dtype=x.dtype).reshape(*x.shape, *x.shape)


def _zeros(case: Case) -> Tensor:
    return torch.zeros(2, 3, dtype=torch.float64)


_CUT = "stop_gradient"

SCENARIOS: tuple[Scenario, ...] = (
    function("independent_output", _constant, (3,), reference=_zeros),
    function("partly_independent", _partly_constant, (3,), tags="pytree"),
    function("unused_argument", _unused, (4,), (3,), wrt="inputs"),
    function("identity", _identity, (2, 3), reference=_eye),
    function("identity_batched", _identity, (4, 3), batch_dim=0),
    function("view_of_input", _view, (2, 3)),
    function("input_among_outputs", _with_itself, (3,), tags="pytree"),
    function(
        "input_among_outputs_batched", _with_itself, (4, 3), tags="pytree", batch_dim=0
    ),
    function("no_grad_block", _no_grad, (3,), tags=_CUT),
    function("no_grad_block_batched", _no_grad, (4, 3), tags=_CUT, batch_dim=0),
    function("detach", _detach, (3,), tags=_CUT),
    function("detach_batched", _detach, (4, 3), tags=_CUT, batch_dim=0),
    function("data_dependent_branch", _branch, (3,)),
    scenario("data_dependent_branch_other", _negative),
    function("data_dependent_loop", _loop, (3,)),
    scenario("closure_requires_grad", _closure),
    scenario("closure_requires_grad_batched", _closure_batched, batch_dim=0),
    function("old_style_function", _old_style, (3,)),
    function("old_style_function_batched", _old_style, (4, 3), batch_dim=0),
    function("new_style_function", _new_style, (3,)),
    function("new_style_function_batched", _new_style, (4, 3), batch_dim=0),
    function("function_with_vmap_rule", _mapped_style, (4, 3), batch_dim=0),
    function("checkpoint", _checkpointed, (4,)),
    function("checkpoint_batched", _checkpointed, (2, 4), batch_dim=0),
    function("in_place", _in_place, (3,)),
    function("in_place_batched", _in_place, (4, 3), batch_dim=0),
    function("in_place_into_zeros", _into_zeros, (3,)),
    function("in_place_into_zeros_batched", _into_zeros, (4, 3), batch_dim=0),
)
