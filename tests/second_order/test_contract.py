"""Every method of second derivatives on every scenario: right, or declared to decline.

The reference is a double loop of plain `torch.autograd.grad`; see `reference`.
"""

import functools
import itertools
import re
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch

import jacengine
from jacengine import JacengineError
from jacengine.problem.quantity import Quantity
from tests.contract.compare import assert_same
from tests.contract.scenario import Scenario
from tests.second_order.declared_unsupported import REFUSED, UNSUPPORTED, declared
from tests.second_order.harness import QUANTITIES, AnalyzedCase, automatically
from tests.second_order.reference import Curvatures, curvatures
from tests.second_order.scenarios import SCENARIOS, case_of, chooses_rows_alone

CHUNKS: dict[Quantity, tuple[int | None, ...]] = {
    "hessian": (None, 2),
    "hessian_diagonal": (2,),
    "laplacian": (None,),
}
"""A Laplacian takes the same products in the same chunks as the diagonal."""
BY_NAME = {one.name: one for one in SCENARIOS}
ANSWERED = [one for one in SCENARIOS if one.name not in REFUSED]

pytestmark = pytest.mark.filterwarnings(
    "ignore:There is a performance drop:UserWarning",
    "ignore:An output with one or more elements was resized:UserWarning",
)


@functools.cache
def _curvatures(name: str) -> Curvatures:
    torch.manual_seed(1)
    return curvatures(BY_NAME[name].build())


PAIRS = pytest.mark.parametrize(
    ("scenario", "quantity"),
    [
        pytest.param(one, quantity, id=f"{one.name}-{quantity}")
        for one in ANSWERED
        for quantity in QUANTITIES
        if quantity == "hessian" or not chooses_rows_alone(one)
    ],
)
"""All scenarios with all quantities; diagonals have no rows to choose."""


def _tolerance(scenario: Scenario) -> float:
    """Twice differentiated, rounding is amplified twice."""
    return 10 * scenario.tolerance


@PAIRS
def test_every_method_is_right_or_says_why_not(
    scenario: Scenario, quantity: Quantity
) -> None:
    case = case_of(scenario, quantity)
    wanted = _curvatures(scenario.name).expected(quantity, case.options)
    asked = AnalyzedCase(quantity, case)
    shared = asked.problem.shares or asked.problem.batch_size is None
    failures: list[str] = []
    for method in jacengine.list_strategies(quantity):
        pattern = declared(scenario, quantity, method, shared=shared)
        try:
            for result in asked.by(method, CHUNKS[quantity]):
                assert_same(result, wanted, _tolerance(scenario))
        except jacengine.UnsupportedError as error:
            if pattern is None or not re.search(pattern, str(error)):
                failures.append(f"{method} declined ({pattern=}): {error}")
        except AssertionError as error:
            failures.append(f"{method} is wrong: {error}")
        else:
            if pattern is not None:
                failures.append(f"{method} is right, but {pattern!r} was declared")
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize(
    ("scenario", "quantity"),
    [
        pytest.param(one, quantity, id=f"{one.name}-{quantity}")
        for one, quantity in zip(ANSWERED, itertools.cycle(QUANTITIES), strict=False)
        if quantity == "hessian" or not chooses_rows_alone(one)
    ],
)
def test_auto_is_always_right(scenario: Scenario, quantity: Quantity) -> None:
    case = case_of(scenario, quantity)
    wanted = _curvatures(scenario.name).expected(quantity, case.options)
    torch.manual_seed(1)
    with _doubted(scenario.name):
        result = automatically(quantity, case, effort="none")
    assert_same(result, wanted, _tolerance(scenario))


def _doubted(name: str) -> AbstractContextManager[object]:
    """Expect a warning where finite differences disagree with torch itself.

    Its second derivative of `_weight_norm_interface` is wrong in 2.13.
    """
    cut = ("detach", "no_grad_block", "weight_norm")
    if name.startswith(cut):
        return pytest.warns(UserWarning, match="finite differences differ")
    return nullcontext()


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_answer_is_refused(name: str, quantity: Quantity) -> None:
    refusals = (JacengineError, NotImplementedError)
    with pytest.raises(refusals, match=REFUSED[name]):
        automatically(quantity, case_of(BY_NAME[name], quantity), effort="none")


def test_every_declaration_is_about_a_scenario_and_a_method() -> None:
    names = {scenario.name for scenario in SCENARIOS}
    assert len(names) == len(SCENARIOS)
    assert UNSUPPORTED.keys() | REFUSED.keys() <= names
    methods = {
        m for quantity in QUANTITIES for m in jacengine.list_strategies(quantity)
    }
    assert {name for row in UNSUPPORTED.values() for name in row} <= methods
