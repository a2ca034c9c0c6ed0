import pytest

from jacengine.errors import ArgumentError
from jacengine.sweep.candidates import find_strategies
from jacengine.sweep.case_spec import Settings


def test_names_that_nobody_has() -> None:
    with pytest.raises(ArgumentError, match=r"Did you mean 'vmap\(jacrev\)'"):
        find_strategies(Settings(exclude=("vmap(jacref)",)), "jacobian")
