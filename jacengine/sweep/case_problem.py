"""The problem of a case: its workload, built and analyzed."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from jacengine.bench.workload import DerivativeSpec, Workload
from jacengine.problem.analyze import analyze
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Options, Problem
from jacengine.selection.reference import Reference
from jacengine.sweep.case_spec import CaseSpec


@dataclass(frozen=True)
class CaseProblem:
    """The problem of a case, with its reference derivative.

    Attributes:
        workload: The workload.
        size: The workload's size.
        derivative: The workload, built at this size.
        problem: The derivative, analyzed.
        bound: The function at the derivative's arguments.
        reference: The reference derivative.
    """

    workload: Workload
    size: int
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
        wrt, batch_dim = derivative.wrt, derivative.batch_dim
        options = Options(wrt=wrt, batch_dim=batch_dim, quantity=derivative.quantity)
        problem = analyze(derivative.fn, derivative.args, {}, options)
        bound = problem.bind(derivative.args, {})
        reference = Reference.of(problem, bound, passes=None)
        return cls(workload, spec.size, derivative, problem, bound, reference)

    @property
    def device(self) -> torch.device:
        """The device of the outputs."""
        return self.problem.outputs[0].device
