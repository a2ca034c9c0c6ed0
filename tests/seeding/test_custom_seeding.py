"""A seeding whose directions are sets of entries is one class: a toy of two colours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import jacengine
from jacengine._torchfunc import Tensors
from jacengine.execution.method import Method
from jacengine.execution.sweep import Sweep
from jacengine.interface import Mode
from jacengine.problem.call_spec import TensorSpec
from jacengine.problem.problem import Problem
from jacengine.results.entries import Entries
from jacengine.results.result import Result
from jacengine.results.result_layout import ResultLayout
from jacengine.seeding.samples import SamplePolicy
from jacengine.seeding.seeding import Seeding
from jacengine.selection.reference import Reference
from jacengine.strategies import BUILTIN
from jacengine.task import Task
from tests.problems import prepared, randn

FORWARD = [s for s in BUILTIN if s.capabilities.mode == "jvp"]
SIZE = 7


def bidiagonal(x: Tensor) -> Tensor:
    """Map `x` to `y_i = sin(x_i) x_{i + 1}`, whose J has two diagonals."""
    return x[..., :-1].sin() * x[..., 1:]


@dataclass(frozen=True)
class TwoColours:
    """One tangent for all even columns, one for all odd: no row has two of either."""

    name: ClassVar[str] = "two_colours"

    def bind(self, problem: Problem, mode: Mode, policy: SamplePolicy) -> Seeding:
        assert mode == "jvp"
        return TwoColourSeeding(problem)

    def first(self, problem: Problem, mode: Mode, count: int) -> Problem:
        del mode, count
        return problem


class TwoColourSeeding:
    count = 2

    def __init__(self, problem: Problem) -> None:
        self.specs: tuple[TensorSpec, ...] = problem.inputs
        self._batch = problem.batch_size
        self.bytes = 2 * sum(s.size * s.dtype.itemsize for s in self.specs)

    @property
    def check_bytes(self) -> int:
        return 0

    def prepare(self, blocks: Sequence[slice], layout: ResultLayout) -> int:
        del blocks, layout
        return 0

    def seeds(self, block: slice) -> Tensors:
        (spec,) = self.specs
        parity = torch.arange(spec.size) % 2
        seed = torch.stack([parity == 0, parity == 1])[block].to(spec.dtype)
        if self._batch is None:
            return (seed,)
        return (seed.unsqueeze(1).expand(len(seed), self._batch, spec.size),)

    def of_samples(self, seeds: Tensors, count: int) -> Tensors:
        return tuple(s if self._batch is None else s[:, :count] for s in seeds)

    def target(self, task: Task, result: Result) -> Tensors | None:
        del task, result
        return None

    def place(self, products: Tensors, task: Task, result: Result) -> None:
        (spec,) = self.specs
        (product,) = products
        rows = torch.arange(spec.size - 1)
        for number, colour in enumerate(range(task.block.start, task.block.stop)):
            values = product[number].reshape(task.sample_count, -1)
            columns = torch.where(rows % 2 == colour, rows, rows + 1)
            result.add_entries(values, Entries(rows, columns), task.samples)

    def missing_bytes(self, count: int) -> int:
        del count
        return 0


@pytest.mark.parametrize("strategy", FORWARD, ids=lambda s: s.name)
@pytest.mark.parametrize("batch", [None, 5])
@pytest.mark.parametrize("chunk_size", [None, 1])
@pytest.mark.parametrize("where", ["new", "out", "graph"])
def test_two_colours(
    strategy: Any, batch: int | None, chunk_size: int | None, where: str
) -> None:
    x = randn(SIZE) if batch is None else randn(batch, SIZE)
    options: dict[str, Any] = {} if batch is None else {"batch_dim": 0}
    wanted = jacengine.jacobian(bidiagonal, x, strategy="reverse_loop", **options)
    x.requires_grad_(where == "graph")
    problem, bound = prepared(bidiagonal, x, create_graph=where == "graph", **options)
    policy = SamplePolicy.UNBATCHED if batch is None else SamplePolicy.BATCHED
    method = Method(
        strategy, sample_policy=policy, seeding=TwoColours(), chunk_size=chunk_size
    )
    assert method.directions(problem) == 2
    out = torch.full_like(wanted, torch.nan) if where == "out" else None
    result = Sweep(problem, method).run(bound, out=out, checked=True)
    torch.testing.assert_close(result.nested(), wanted)
    assert Reference.of(problem, bound).judge(result).right
    if out is not None:
        torch.testing.assert_close(out, wanted)
    if where == "graph":
        (grad,) = torch.autograd.grad(result.nested().sum(), x)
        assert bool(grad.isfinite().all())
        assert bool((grad != 0).any())


def test_two_colours_in_slices_of_samples() -> None:
    x = randn(6, SIZE)
    problem, bound = prepared(bidiagonal, x, batch_dim=0)
    method = Method(
        FORWARD[-1],
        sample_policy=SamplePolicy.BATCHED,
        seeding=TwoColours(),
        slice_size=4,
    )
    wanted = jacengine.jacobian(bidiagonal, x, batch_dim=0, strategy="reverse_loop")
    found = Sweep(problem, method).run(bound).nested()
    torch.testing.assert_close(found, wanted)
