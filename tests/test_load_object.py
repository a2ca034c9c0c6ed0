"""Objects by their place, and what builders return."""

import itertools
from typing import Any

import pytest

from jacengine._load_object import call_of, load_object


def test_objects_by_place() -> None:
    assert load_object("itertools:chain") is itertools.chain


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        ((abs, 1), (abs, (1,))),
        ((abs, 1, 2), (abs, (1, 2))),
        ((abs, (1, 2)), (abs, (1, 2))),
        ((abs,), None),
        ((1, 2), None),
        (abs, None),
    ],
)
def test_calls_that_are_built(built: Any, expected: Any) -> None:
    assert call_of(built) == expected
