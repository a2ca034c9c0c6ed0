"""The reference itself, checked against closed forms and against differences."""

import copy
import dataclasses
import re
from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from tests.contract.compare import assert_same
from tests.contract.differences import by_differences, by_jacobian, random_direction
from tests.contract.reference import expected, reference_jacobian
from tests.contract.scenario import Case, Scenario
from tests.contract.scenarios import SCENARIOS
from tests.contract.tree import PyTree, leaves, tree_map

_LOW_PRECISION = {"float32", "float16", "bfloat16"}


def _parametrised(
    wanted: Callable[[Scenario], bool] = lambda _: True,
) -> pytest.MarkDecorator:
    chosen = [one for one in SCENARIOS if wanted(one)]
    return pytest.mark.parametrize("scenario", chosen, ids=lambda one: one.name)


def _is_differentiable(scenario: Scenario) -> bool:
    return scenario.tags.isdisjoint({"stop_gradient", "empty", *_LOW_PRECISION})


def _without(case: Case, *names: str) -> Case:
    kept = {name: value for name, value in case.options.items() if name not in names}
    return dataclasses.replace(case, options=kept)


def _state(case: Case) -> PyTree:
    """Return copies of all that a call could change."""
    module = case.fn if isinstance(case.fn, nn.Module) else nn.Module()
    parameters = dict(module.named_parameters())
    return copy.deepcopy(
        {
            "inputs": _values([case.args, case.kwargs]),
            "module": _values(dict(module.state_dict())),
            "flags": [p.requires_grad for p in parameters.values()],
            "grads": [p.grad is None for p in parameters.values()],
            "training": [child.training for child in module.modules()],
            "random": torch.get_rng_state(),
        }
    )


def _values(tree: PyTree) -> PyTree:
    return tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, tree)


def test_names_are_identifiers() -> None:
    for scenario in SCENARIOS:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", scenario.name), scenario.name


@_parametrised()
def test_builds_are_equal_and_leave_the_random_state(scenario: Scenario) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = _state(scenario.build())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    torch.rand(3)
    second = _state(scenario.build())
    first["random"] = second["random"]
    assert_same(second, first, 0.0)


@_parametrised()
def test_reference_leaves_the_case_unchanged(scenario: Scenario) -> None:
    case = scenario.build()
    before = _state(case)
    expected(scenario, case)
    assert_same(_state(case), before, 0.0)


@_parametrised()
def test_reference_is_detached_and_repeatable(scenario: Scenario) -> None:
    result = expected(scenario, scenario.build())
    found = [leaf for leaf in leaves(result) if isinstance(leaf, Tensor)]
    assert found
    assert not any(leaf.requires_grad for leaf in found)
    assert_same(expected(scenario, scenario.build()), result, 0.0)


@_parametrised(lambda one: one.reference is not None)
def test_loop_equals_closed_form(scenario: Scenario) -> None:
    case = scenario.build()
    assert scenario.reference is not None
    assert_same(reference_jacobian(case), scenario.reference(case), 1e-12)


@_parametrised(_is_differentiable)
def test_differences_agree(scenario: Scenario) -> None:
    case = _without(scenario.build(), "rows", "columns")
    direction = random_direction(case)
    jacobian = reference_jacobian(case, coupled="coupled" in scenario.tags)
    if case.options.get("has_aux", False):
        jacobian = jacobian[0]
    products = by_jacobian(case, jacobian, direction)
    differences = [change.reshape(-1) for change in by_differences(case, direction)]
    assert_same(products, differences, 1e-6)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("empty_input", (3, 0)),
        ("empty_output", (0, 4)),
        ("empty_batch", (0, 3, 4)),
        ("rows_none", (0, 2, 3)),
    ],
)
def test_empty_results_have_a_shape(name: str, shape: tuple[int, ...]) -> None:
    scenario = next(one for one in SCENARIOS if one.name == name)
    assert expected(scenario, scenario.build()).shape == shape


@_parametrised(lambda one: not _LOW_PRECISION.isdisjoint(one.tags))
def test_low_precision_is_close_to_float64(scenario: Scenario) -> None:
    case = scenario.build()
    fn = copy.deepcopy(case.fn)
    wide = dataclasses.replace(
        case,
        fn=fn.double() if isinstance(fn, nn.Module) else fn,
        args=tuple(cast("Tensor", arg).double() for arg in case.args),
    )
    narrow = tree_map(lambda j: j.double(), expected(scenario, case))
    assert_same(narrow, expected(scenario, wide), scenario.tolerance)
