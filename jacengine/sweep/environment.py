"""The environment of a run: what must be the same so that times can be compared."""

from __future__ import annotations

import re
from pathlib import Path

from jacengine.errors import ArgumentError
from jacengine.report.machine import Machine
from jacengine.selection.budget import format_bytes

_CLOCK_RATE = re.compile(r"\s*@?\s*\d+(\.\d+)?\s*[GM]Hz", re.IGNORECASE)
_MEMORY_TOLERANCE = 0.1
"""Main memories that differ by less are the same: kernels reserve varying shares."""


class OtherMachineError(ArgumentError):
    """Runs of different machines, whose times cannot be compared."""


def require_same_machine(
    path: Path, machine: Machine, base_path: Path, base: Machine, *, advice: str = ""
) -> None:
    """Require that two runs, given by their paths and machines, come from one machine.

    The advice is a last sentence of the message.

    Raises:
        OtherMachineError: The machines differ.
    """
    differences = machine_differences(base, machine)
    if differences:
        message = f"({'; '.join(differences)}). {advice}".strip()
        raise OtherMachineError(
            f"{path} and {base_path} come from different machines {message}"
        )


def machine_differences(one: Machine, other: Machine) -> list[str]:
    """List the differences that make times of two runs incomparable."""
    # Clock rates are measured and vary from boot to boot.
    cpus = (" ".join(_CLOCK_RATE.sub("", cpu).split()) for cpu in (one.cpu, other.cpu))
    pairs = [
        ("processor", *cpus),
        ("cores", str(one.cores), str(other.cores)),
        ("accelerator", one.gpu, other.gpu),
        ("system", one.system, other.system),
        ("vector instructions", one.instructions, other.instructions),
    ]
    found = [f"{what}: {a!r} and {b!r}" for what, a, b in pairs if a != b]
    small, large = sorted([one.memory_bytes, other.memory_bytes])
    if small < large * (1 - _MEMORY_TOLERANCE):
        found.append(f"memory: {format_bytes(small)} and {format_bytes(large)}")
    return found


def version_differences(one: Machine, other: Machine) -> list[str]:
    """List differing versions and settings, which may be what is compared."""
    pairs = [
        ("Python", one.python, other.python),
        ("PyTorch", one.torch, other.torch),
        ("jacengine", one.jacengine, other.jacengine),
        ("float32 products", one.matmul_precision, other.matmul_precision),
    ]
    return [f"{what} {a} and {b}" for what, a, b in pairs if a != b]
