"""Describe the machine in pytest-benchmark's reports as in jacengine's own."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from jacengine.report import Machine

LIBRARIES = ("backpack-for-pytorch", "folx", "jax", "opacus")


def pytest_benchmark_update_machine_info(
    config: object, machine_info: dict[str, Any]
) -> None:
    """Replace the host's description, which names the host."""
    del config
    machine_info.clear()
    machine_info.update(asdict(Machine.here(LIBRARIES)))
