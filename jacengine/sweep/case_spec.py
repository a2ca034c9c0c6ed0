"""A case: its specification, the settings that all cases share, and its problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from jacengine import pytrees
from jacengine.bench.workload import DerivativeSpec, Workload
from jacengine.problem.analyze import analyze
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.callee import Callee
from jacengine.problem.problem import Options, Problem
from jacengine.selection.reference import Reference

Effort = Literal["quick", "thorough"]
Crashes = Mapping[str, tuple[str, str]]
"""Outcome and reason of libraries that ended a worker, by name."""
CATALOGUE = "jacengine.bench.workloads:WORKLOADS"
"""The default catalogue of workloads, as `MODULE:NAME`."""


@dataclass(frozen=True)
class CaseSpec:
    """One case of a sweep, before it is measured.

    Attributes:
        workload: The workload's name.
        size: The value of its parameter.
        dtype: As `float64`; empty for the workload's own.
        device: As `cpu`, `cuda`.
        threads: Threads of one operator; `None` for PyTorch's default.
    """

    workload: str
    size: int
    dtype: str = ""
    device: str = "cpu"
    threads: int | None = None

    @property
    def name(self) -> str:
        """The name of the case, the same in every sweep: `robot_arm/64`."""
        device = "" if self.device == "cpu" else self.device
        threads = "" if self.threads is None else f"t{self.threads}"
        special = filter(None, (self.dtype, device, threads))
        return "/".join([self.workload, str(self.size), *special])


@dataclass(frozen=True)
class Settings:
    """How every case of a sweep is measured.

    Attributes:
        strategies: The strategies to measure, by name; `None` for all.
        exclude: Strategies and libraries that are left out, by name.
        memory_budget: As in `jacengine.auto`; `None` for the free memory.
        effort: How long a case may take.
        peers: Whether other libraries are measured too.
        seed: Seed of the order of candidates in each round.
        catalogue: The catalogue of workloads, as `MODULE:NAME`.
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

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Settings:
        """Read settings from JSON, which turns tuples into lists."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in content.items()
        }
        return cls(**values)


@dataclass(frozen=True)
class CaseProblem:
    """A workload, its derivative at a size, and the reference derivative."""

    workload: Workload
    derivative: DerivativeSpec
    problem: Problem
    bound: BoundFunction
    reference: Reference

    @classmethod
    def build(cls, spec: CaseSpec, workload: Workload) -> CaseProblem:
        """Build and analyze a workload, and compute its reference derivative."""
        derivative = workload.build(spec.size)
        if spec.dtype or spec.device != "cpu":
            dtype = getattr(torch, spec.dtype) if spec.dtype else None
            derivative = derivative.to(device=spec.device, dtype=dtype)
        options = Options(**derivative.options)
        callee = Callee(derivative.fn, derivative.args)
        problem = analyze(callee, derivative.args, {}, options)
        bound = problem.bind(callee, pytrees.flatten_call(derivative.args, {})[0])
        reference = Reference.of(problem, bound, passes=None)
        return cls(workload, derivative, problem, bound, reference)

    @property
    def device(self) -> torch.device:
        """The device of the outputs."""
        return self.problem.outputs[0].device
