import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacengine.errors import ArgumentError
from jacengine.sweep.case_spec import CaseSpec
from jacengine.sweep.cases import compile_expression, select_cases, shard
from tests.sweep.fakes import FINE, workload


def names(**options: object) -> list[str]:
    return [spec.name for spec in select_cases(FINE, **options)]  # type: ignore[arg-type]


def test_small_sizes_come_first() -> None:
    assert names(sizes=("small", "large")) == [
        "one/2",
        "two/2",
        "three/2",
        "one/4",
        "two/4",
        "three/4",
    ]


def test_names_tell_what_is_special() -> None:
    assert CaseSpec("one", 2).name == "one/2"
    assert CaseSpec("one", 2, "float64", "cuda", 1).name == "one/2/float64/cuda/t1"


def test_every_combination_is_a_case() -> None:
    found = names(patterns=("t*",), dtypes=("float32", "float64"), threads=(1, 2))

    assert len(found) == len(set(found)) == 2 * 2 * 2


def test_equal_sizes_are_one_case() -> None:
    same = workload("same", FINE[0].build)
    flat = type(same)("same", "", "", "", (2, 2, 2), 1, same.build)

    assert len(select_cases([flat], sizes=("small", "medium", "large"))) == 1


def test_an_expression_chooses_by_size_too() -> None:
    assert names(sizes=("small", "large"), expression="one and large") == ["one/4"]


def test_patterns_that_match_nothing_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"'threes'.* Did you mean 'three'"):
        names(patterns=("threes",))


def test_expressions_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ArgumentError, match="leaves no case"):
        names(expression="four")


@given(st.lists(st.integers(), unique=True), st.integers(1, 12))
def test_shards_cover_everything_exactly_once(items: list[int], count: int) -> None:
    shares = [shard(items, number, count) for number in range(1, count + 1)]

    assert sorted(itertools.chain(*shares)) == sorted(items)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("one", {"one"}),
        ("ONE", {"one"}),
        ("not one", {"two", "three"}),
        ("one or two and not tw", {"one"}),
        ("(one or two) and not (tw)", {"one"}),
        ("not not two", {"two"}),
        ("o and not t", {"one"}),
    ],
)
def test_expressions(expression: str, expected: set[str]) -> None:
    matches = compile_expression(expression)

    assert {name for name in ("one", "two", "three") if matches(name)} == expected


@pytest.mark.parametrize(
    "expression", ["and", "one and", "(one", "one)", "one two", "not", "()", "or one"]
)
def test_expressions_that_cannot_be_read(expression: str) -> None:
    with pytest.raises(ArgumentError, match="cannot be read"):
        compile_expression(expression)
