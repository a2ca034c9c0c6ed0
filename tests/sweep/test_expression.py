import pytest

from jacengine.errors import ArgumentError
from jacengine.sweep.cases import compile_expression


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
