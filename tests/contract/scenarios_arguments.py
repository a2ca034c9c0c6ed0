"""Several arguments, side inputs, and containers of tensors going in and out."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from tests.contract.build_problem import function, randn, scenario
from tests.contract.scenario import Case, Scenario


class Point(NamedTuple):
    """A named tuple of tensors."""

    position: Tensor
    speed: Tensor


@dataclass
class State:
    """A dataclass that PyTorch has not been told about."""

    angle: Tensor
    steps: int
    rate: Tensor


@dataclass
class Motion:
    """Another one, of which all entries depend on the input."""

    rate: Tensor
    angle: Tensor


def _three(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    return torch.outer(x * z.sum(), y.sin()) + z[0] * x.sum()


def _three_batched(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    return x.unsqueeze(2) * y.sin().unsqueeze(1) + z.prod(-1)[:, None, None]


def _nested(tree: dict[str, list[Tensor] | tuple[Tensor, Tensor]]) -> Tensor:
    (a, b), (c, d) = tree["list"], tree["tuple"]
    return torch.stack([a.sum() * c, b.prod() + d.sum(), c.sin() * a[0]])


def _dict_out(x: Tensor) -> dict[str, Tensor | list[Tensor]]:
    return {"z": x.prod(), "a": x[:2].sin(), "list": [torch.outer(x, x[1:])]}


def _point(p: Point) -> Point:
    return Point(p.speed * p.position.sum(), torch.outer(p.position, p.speed).sin())


def _move(state: State) -> Motion:
    pull = 0.1 * state.steps * state.angle.sin().sum(-1, keepdim=True)
    return Motion(state.rate - pull, state.angle.cumsum(-1) * state.rate.mean())


def _move_batched(state: State) -> Motion:
    pull = 0.1 * state.steps * state.angle.sin().sum(-1, keepdim=True)
    return Motion(state.rate - pull, state.angle.cumsum(-1) * state.rate)


def _products(x: Tensor) -> Point:
    return Point(x[..., :1] * x[..., 1:], x.square().sum(-1))


def _picked(x: Tensor, index: Tensor) -> Tensor:
    return x.square()[index] * x.sum()


def _gathered(x: Tensor, index: Tensor) -> Tensor:
    return x.square().gather(1, index) * x.sum(1, keepdim=True)


def _masked(x: Tensor, mask: Tensor) -> Tensor:
    return x.exp().masked_fill(mask, 0.0).cumsum(-1)


def _mixed_dict(tree: dict[str, Tensor]) -> Tensor:
    return tree["x"][tree["index"]] * tree["y"].sum()


def _scaled(x: Tensor, power: float, *, scale: Tensor, shift: float = 0.0) -> Tensor:
    return (x + shift).pow(power) * scale


def _with_aux(x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    return x.sin() * x[..., :1], {"norm": x.square().sum(-1)}


def _product(x: Tensor, y: Tensor) -> Tensor:
    return torch.outer(x.sin(), y)


def _affine(x: Tensor, matrix: Tensor) -> Tensor:
    return (x @ matrix).tanh()


def _last_axis(x: Tensor, y: Tensor) -> Tensor:
    return (x.t() * y.sum(-1, keepdim=True)).sin()


def _nested_case() -> Case:
    tree = {"list": [randn(2), randn(3, 2)], "tuple": (randn(), randn(4))}
    return Case(_nested, (tree,))


def _point_case() -> Case:
    return Case(_point, (Point(randn(2), randn(3)),))


def _state_case() -> Case:
    return Case(_move, (State(randn(3), 2, randn(4)),))


def _states_case() -> Case:
    return Case(_move_batched, (State(randn(5, 3), 2, randn(5, 1)),))


def _picked_case() -> Case:
    return Case(_picked, (randn(4), torch.tensor([2, 0, 2, 1, 3])))


def _gathered_case() -> Case:
    return Case(_gathered, (randn(3, 4), torch.randint(4, (3, 2))))


def _masked_case() -> Case:
    return Case(_masked, (randn(2, 4), torch.tensor([[0, 1, 0, 0]]).bool()))


def _mixed_case() -> Case:
    tree = {"x": randn(4), "index": torch.tensor([1, 1, 3]), "y": randn(2)}
    return Case(_mixed_dict, (tree,))


def _keywords() -> Case:
    return Case(_scaled, (randn(3), 2.0), {"scale": randn(2, 1), "shift": 0.5})


def _keywords_batched() -> Case:
    return Case(_scaled, (randn(4, 3), 2.0), {"scale": randn(4, 1), "shift": 0.5})


def _keywords_shared() -> Case:
    return Case(_scaled, (randn(4, 3), 3.0), {"scale": randn()})


def _same_twice() -> Case:
    x = randn(3)
    return Case(_product, (x, x))


def _float_and_index() -> Case:
    return Case(_gathered, (randn(3, 4), torch.randint(4, (3, 5))))


SCENARIOS: tuple[Scenario, ...] = (
    function("second_argument", _three, (3,), (4,), (2,), wrt=1),
    function("tuple_of_arguments", _three, (3,), (4,), (2,), wrt=(0, 2)),
    function("arguments_out_of_order", _three, (3,), (4,), (2,), wrt=(2, 0)),
    function("tuple_of_one_argument", _three, (3,), (4,), (2,), wrt=(1,)),
    function("all_inputs", _three, (3,), (4,), (2,), wrt="inputs"),
    function("all_inputs_of_one", torch.sin, (3,), wrt="inputs"),
    function(
        "all_inputs_batched",
        _three_batched,
        *((5, 3), (5, 4), (5, 2)),
        wrt="inputs",
        batch_dim=0,
    ),
    scenario("all_inputs_but_indices", _float_and_index, wrt="inputs", batch_dim=0),
    scenario("nested_input", _nested_case, "pytree"),
    function("dict_output", _dict_out, (3,), tags="pytree"),
    scenario("namedtuple_in_and_out", _point_case, "pytree"),
    scenario("dataclass_in_and_out", _state_case, "pytree"),
    scenario("dataclass_batched", _states_case, "pytree", batch_dim=0),
    function("namedtuple_batched", _products, (4, 3), tags="pytree", batch_dim=0),
    scenario("integer_side_input", _picked_case, "side_input"),
    scenario("integer_side_input_batched", _gathered_case, "side_input", batch_dim=0),
    scenario(
        "boolean_mask_shared", _masked_case, "side_input", batch_dim=(0, None), wrt=0
    ),
    scenario("boolean_mask", _masked_case, "side_input"),
    scenario("integer_leaf_in_dict", _mixed_case, "side_input pytree"),
    scenario("keyword_arguments", _keywords, "side_input"),
    scenario("keyword_batched", _keywords_batched, "side_input", batch_dim=(0, None)),
    scenario("keyword_shared", _keywords_shared, "side_input", batch_dim=0),
    scenario("same_tensor_twice", _same_twice),
    scenario("same_tensor_twice_both", _same_twice, wrt=(0, 1)),
    function("aux", _with_aux, (4,), tags="aux", has_aux=True),
    function("aux_batched", _with_aux, (3, 4), tags="aux", has_aux=True, batch_dim=0),
    function("shared_argument", _affine, (4, 3), (3, 2), batch_dim=(0, None)),
    function(
        "shared_argument_varied",
        _affine,
        *((4, 3), (3, 2)),
        wrt=(0, 1),
        batch_dim=(0, None),
    ),
    function("batch_on_last_axis", _last_axis, (3, 4), (4, 2), batch_dim=(1, 0)),
    function(
        "batch_on_different_axes",
        _last_axis,
        *((3, 4), (4, 2)),
        wrt="inputs",
        batch_dim=(1, 0),
    ),
)
