"""One call of the contract, by a strategy named and in chunks of a given size."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

import jacengine
from jacengine import pytrees
from jacengine.api.strategies import known_strategies
from jacengine.execution.sweep import Sweep
from jacengine.plans.compute import compute_nested
from jacengine.plans.named import runnable
from jacengine.problem.analyze import analyze
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.callee import Callee
from jacengine.problem.problem import Options, Problem
from jacengine.problem.quantity import Quantity
from jacengine.selection.reference import Reference
from tests.contract.scenario import Case
from tests.contract.tree import PyTree

QUANTITIES: tuple[Quantity, ...] = ("hessian", "hessian_diagonal", "laplacian")
FUNCTIONS: dict[Quantity, Callable[..., Any]] = {
    "hessian": jacengine.hessian,
    "hessian_diagonal": jacengine.hessian_diagonal,
    "laplacian": jacengine.laplacian,
}


def automatically(quantity: Quantity, case: Case, **how: Any) -> Any:
    """Ask the public function, whose defaults differ in `batch_dim`."""
    options = {"batch_dim": None, **case.options, **how}
    return FUNCTIONS[quantity](case.fn, *case.args, kwargs=case.kwargs, **options)


class AnalyzedCase:
    """A case analyzed once, to be computed by several strategies."""

    def __init__(self, quantity: Quantity, case: Case) -> None:
        torch.manual_seed(1)
        options = Options(**case.options, quantity=quantity)
        leaves = pytrees.flatten_call(case.args, case.kwargs)[0]
        callee = Callee(case.fn, leaves)
        self.problem: Problem = analyze(callee, case.args, case.kwargs, options)
        self.call: BoundFunction = self.problem.bind(callee, leaves)
        torch.manual_seed(1)
        self.reference = Reference.of(self.problem, self.call)

    def by(self, name: str, chunk_sizes: tuple[int | None, ...]) -> list[PyTree]:
        """Compute by a strategy, once for each chunk size.

        Raises:
            UnsupportedError: It declines, or its result is found wrong.
        """
        torch.manual_seed(1)
        strategy = known_strategies().get(name, self.problem.options.quantity)
        problem, call, reference = self.problem, self.call, self.reference
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            method = runnable(problem, call, strategy, reference)
            if method.capabilities.max_directions == 1:
                chunk_sizes = chunk_sizes[:1]  # the others would compute the same
            sweeps = [
                Sweep(problem, replace(method, chunk_size=size)) for size in chunk_sizes
            ]
            return [
                compute_nested(problem, call, sweep, reference=reference)
                for sweep in sweeps
            ]
