"""Every strategy on every scenario: right, or declined for the declared reason."""

import re
from typing import Any

import pytest
import torch

import jacengine
from tests.contract.compare import assert_same
from tests.contract.declared_unsupported import UNSUPPORTED, declared
from tests.contract.reference import expected
from tests.contract.scenario import Case, Scenario
from tests.contract.scenarios import SCENARIOS

BUILTIN = jacengine.list_strategies()
CHUNKED = ("vmap_jvp", "repeat", "vmap_vjp")
"""A strategy is handed its chunk and cannot tell it from all directions: one for each
way to batch."""

# Slow loops in place of a batching rule, and resized buffers inside of torch: right.
pytestmark = pytest.mark.filterwarnings(
    "ignore:There is a performance drop:UserWarning",
    "ignore:An output with one or more elements was resized:UserWarning",
)

CONSTANT = pytest.mark.filterwarnings("ignore:.*no output of the function depends")
EVERY = pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(s, id=s.name, marks=[CONSTANT] * (s.name == "independent_output"))
        for s in SCENARIOS
    ],
)


def _compute(case: Case, **how: Any) -> Any:
    torch.manual_seed(1)
    return jacengine.jacobian(
        case.fn, *case.args, kwargs=case.kwargs, **case.options, **how
    )


def _reference(scenario: Scenario, case: Case) -> Any:
    torch.manual_seed(1)
    return expected(scenario, case)


@EVERY
def test_every_strategy_is_right_or_says_why_not(scenario: Scenario) -> None:
    case = scenario.build()
    wanted = _reference(scenario, case)
    failures: list[str] = []
    for strategy in BUILTIN:
        pattern = declared(scenario, strategy)
        try:
            result = _compute(case, strategy=strategy)
            assert_same(result, wanted, scenario.tolerance)
        except jacengine.UnsupportedError as error:
            if pattern is None or not re.search(pattern, str(error)):
                failures.append(f"{strategy} declined ({pattern=}): {error}")
        except AssertionError as error:
            failures.append(f"{strategy} is wrong: {error}")
        else:
            if pattern is not None:
                failures.append(f"{strategy} is right, but {pattern!r} was declared")
    assert not failures, "\n".join(failures)


@EVERY
def test_auto_is_always_right(scenario: Scenario) -> None:
    case = scenario.build()
    wanted = _reference(scenario, case)
    torch.manual_seed(1)
    result = jacengine.auto(
        case.fn, *case.args, kwargs=case.kwargs, effort="none", **case.options
    )
    assert_same(result, wanted, scenario.tolerance)


@EVERY
def test_chunks_do_not_change_the_result(scenario: Scenario) -> None:
    case = scenario.build()
    wanted = _reference(scenario, case)
    for strategy in CHUNKED:
        if declared(scenario, strategy) is None:
            result = _compute(case, strategy=strategy, chunk_size=2)
            assert_same(result, wanted, scenario.tolerance)


def test_every_declaration_is_about_a_scenario_and_a_strategy() -> None:
    names = {scenario.name for scenario in SCENARIOS}
    assert set(UNSUPPORTED) <= names
    assert {name for row in UNSUPPORTED.values() for name in row} <= set(BUILTIN)
