import pytest

from jacengine.errors import ArgumentError
from jacengine.sweep.catalogue import load_workloads
from tests.sweep.fakes import FINE


def test_catalogues() -> None:
    assert load_workloads("tests.sweep.fakes:FINE") == FINE


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("tests.sweep.fakes", "expected MODULE:NAME"),
        ("tests.sweep.fakes:", "expected MODULE:NAME"),
        ("tests.sweep.fake:FINE", "cannot be imported"),
        ("tests.sweep.fakes:FNE", "Did you mean 'FINE'"),
        ("tests.sweep.fakes:TWICE", "'one' more than once"),
        ("tests.sweep.fakes:NOT_ONE", "no workloads"),
        ("sys:path", "holds a str"),
    ],
)
def test_catalogues_that_are_none(place: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        load_workloads(place)
