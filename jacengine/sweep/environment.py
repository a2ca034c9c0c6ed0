"""Were two runs made under the same conditions? What they differ in, in words."""

from __future__ import annotations

import re

from jacengine.report.machine import Machine
from jacengine.selection.budget import format_bytes

_CLOCK = re.compile(r"\s*@?\s*\d+(\.\d+)?\s*[GM]Hz", re.IGNORECASE)
_ALIKE = 0.1
"""Main memories that differ by less are the same: kernels reserve varying shares."""


def other_machine(one: Machine, other: Machine) -> list[str]:
    """List what makes times of two runs incomparable."""
    pairs = [
        ("processor", _normal(one.cpu), _normal(other.cpu)),
        ("cores", str(one.cores), str(other.cores)),
        ("accelerator", one.gpu, other.gpu),
        ("system", one.system, other.system),
        ("vector instructions", one.instructions, other.instructions),
    ]
    found = [f"{what}: {a!r} and {b!r}" for what, a, b in pairs if a != b]
    small, large = sorted([one.memory_bytes, other.memory_bytes])
    if small < large * (1 - _ALIKE):
        found.append(f"memory: {format_bytes(small)} and {format_bytes(large)}")
    return found


def other_versions(one: Machine, other: Machine) -> list[str]:
    """List what else differs; it may be what is compared."""
    pairs = [
        ("Python", one.python, other.python),
        ("PyTorch", one.torch, other.torch),
        ("jacengine", one.jacengine, other.jacengine),
        ("float32 products", one.matmul_precision, other.matmul_precision),
    ]
    return [f"{what} {a} and {b}" for what, a, b in pairs if a != b]


def _normal(cpu: str) -> str:
    """Leave out the clock rate, which is measured and never the same twice."""
    return " ".join(_CLOCK.sub("", cpu).split())
