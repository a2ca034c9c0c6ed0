"""What is measured: a workload at a size, and where; and how all of them are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Effort = Literal["quick", "thorough"]
CATALOGUE = "jacengine.bench.workloads:WORKLOADS"
"""Where the workloads are, as `MODULE:NAME`."""


@dataclass(frozen=True)
class Trial:
    """One case of a sweep, before it is measured.

    Attributes:
        workload: The workload's name.
        size: The value of its parameter.
        dtype: As `float64`; empty for the workload's own.
        device: As `cpu`, `cuda`.
        threads: Threads of one operator; `None` for as many as torch takes by itself.
    """

    workload: str
    size: int
    dtype: str = ""
    device: str = "cpu"
    threads: int | None = None

    @property
    def name(self) -> str:
        """What the case is called, the same in every sweep: `robot_arm/64`."""
        special = (
            self.dtype,
            "" if self.device == "cpu" else self.device,
            "" if self.threads is None else f"t{self.threads}",
        )
        return "/".join([self.workload, str(self.size), *filter(None, special)])


@dataclass(frozen=True)
class Settings:
    """How every case of a sweep is measured.

    Attributes:
        strategies: The strategies to measure, by name; `None` for all.
        exclude: Strategies and libraries that are left out, by name.
        memory_budget: As in `jacengine.auto`; `None` for what is free.
        effort: How long a case may take.
        peers: Whether other libraries are measured too.
        seed: Of the order in which contenders take turns.
        catalogue: Where the workloads are, as `MODULE:NAME`.
        compiled: Whether the choice of `auto` is measured as compiled code too.
    """

    strategies: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    memory_budget: str | None = None
    effort: Effort = "quick"
    peers: bool = True
    seed: int = 0
    catalogue: str = CATALOGUE
    compiled: bool = False
