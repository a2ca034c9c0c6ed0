from dataclasses import replace

import pytest

from jacengine.sweep.environment import machine_differences, version_differences
from tests.sweep.build import MACHINE


def test_clock_rates_are_ignored() -> None:
    other = replace(MACHINE, cpu="Processor 3 @ 2.09 GHz", memory_bytes=8 * 10**9 - 5)

    assert machine_differences(MACHINE, other) == []


@pytest.mark.parametrize(
    "change", [{"cpu": "Processor 4"}, {"cores": 4}, {"memory_bytes": 10**9}]
)
def test_machine_differences(change: dict[str, object]) -> None:
    other = replace(MACHINE, **change)  # type: ignore[arg-type]

    assert len(machine_differences(MACHINE, other)) == 1


def test_version_differences() -> None:
    assert version_differences(MACHINE, replace(MACHINE, torch="3.0")) == [
        "PyTorch 2.13.0 and 3.0"
    ]
