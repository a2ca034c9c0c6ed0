"""Predicted passes, counted: calls of the function, walks back through its graph."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine.execution.method import Method
from jacengine.execution.sweep import Sweep, compute
from jacengine.interface import Passes
from jacengine.seeding.samples import SamplePolicy
from jacengine.strategies import BUILTIN
from jacengine.task import Task
from tests.contract.compare import assert_same
from tests.contract.reference import reference_jacobian
from tests.contract.scenario import Case
from tests.contract.tree import float_leaves
from tests.problems import (
    OF_INPUTS,
    OF_PARAMETERS,
    method_of,
    mlp,
    prepared,
    randn,
)

STRATEGIES = {s.name: s for s in BUILTIN if s.capabilities.mode != "trace"}


class Tally:
    """What was counted so far, not in attributes, which are restored."""

    __slots__ = ("backward", "forward")

    def __init__(self) -> None:
        self.forward = 0
        self.backward = 0

    def restart(self) -> None:
        self.forward = self.backward = 0

    @property
    def passes(self) -> Passes:
        return Passes(self.forward, self.backward)


class Counted(torch.autograd.Function):
    """The identity, which counts each walk back through it, and back through that."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, tally: Tally) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.tally = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        ctx.tally.backward += 1
        return counted(grad_outputs[0], ctx.tally), None

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Tensor) -> Tensor:
        return grad_inputs[0].clone()


def counted(x: Tensor, tally: Tally) -> Tensor:
    apply: Callable[[Tensor, Tally], Tensor] = Counted.apply
    return apply(x, tally)


class Counting(nn.Module):
    """An MLP from 3 to 5 that counts its passes."""

    def __init__(self) -> None:
        super().__init__()
        self.tally = Tally()
        self.inner = mlp(3, 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        self.tally.forward += 1
        return counted(self.inner(x), self.tally)


def count(
    method: Method, fn: Counting, *args: Any, **options: Any
) -> tuple[Passes, Passes]:
    """Return the passes that a method predicts, and those it takes."""
    problem, call = prepared(fn, *args, **options)
    fn.tally.restart()
    blocks = compute(problem, call, method).blocks
    taken = fn.tally.passes
    wanted = reference_jacobian(Case(fn, args, options=options))
    assert_same(blocks, [float_leaves(wanted)], 1e-9)
    return method.passes(problem), taken


def check_chunks(name: str, x: Tensor, **options: Any) -> None:
    """Check the passes of a strategy for several chunk sizes."""
    fn = Counting()
    problem, call = prepared(fn, x, **options)
    method = method_of(problem, call, STRATEGIES[name])
    for chunk_size in (None, 1, 2, 3, 100):
        chunked = replace(method, chunk_size=chunk_size)
        fn.tally.restart()
        compute(problem, call, chunked)
        assert fn.tally.passes == chunked.passes(problem), f"chunk_size={chunk_size}"


SELECTIONS: list[dict[str, Any]] = [
    {},
    {"rows": torch.tensor([4, 0])},
    {"columns": slice(1, 2)},
    {"rows": slice(0, 1), "columns": torch.tensor([2, 0])},
    {"rows": slice(0, 0)},
    {"columns": slice(0, 0)},
]


@pytest.mark.parametrize("options", SELECTIONS)
@pytest.mark.parametrize("batch_dim", [None, 0])
@pytest.mark.parametrize("name", OF_INPUTS)
def test_passes_to_an_input(
    name: str, batch_dim: int | None, options: dict[str, Any]
) -> None:
    x = randn(3) if batch_dim is None else randn(6, 3)
    check_chunks(name, x, batch_dim=batch_dim, **options)


@pytest.mark.parametrize("options", [{}, {"rows": slice(1, 3)}])
@pytest.mark.parametrize("batch_dim", [None, 0])
@pytest.mark.parametrize("name", OF_PARAMETERS)
def test_passes_to_parameters(
    name: str, batch_dim: int | None, options: dict[str, Any]
) -> None:
    check_chunks(name, randn(6, 3), batch_dim=batch_dim, wrt="params", **options)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, strategy in STRATEGIES.items()
        if strategy.capabilities.mode == "vjp"
        and not strategy.capabilities.per_sample_shared
    ],
)
@pytest.mark.parametrize(
    ("sample_policy", "sweeps", "rows"),
    [(SamplePolicy.SAMPLE_LOOP, 6, 5), (SamplePolicy.COUPLED_ROWS, 1, 30)],
)
def test_passes_of_other_sample_policies(
    sample_policy: SamplePolicy, sweeps: int, rows: int, name: str
) -> None:
    strategy = STRATEGIES[name]
    method = Method(strategy, sample_policy=sample_policy, chunk_size=2)
    predicted, taken = count(method, Counting(), randn(6, 3), wrt="params", batch_dim=0)
    blocks = rows if strategy.capabilities.max_directions else -(-rows // 2)
    assert predicted == taken == strategy.passes(blocks) * sweeps


@pytest.mark.parametrize(
    ("name", "chunk_size", "passes"),
    [
        ("reverse_loop", None, (1, 5)),
        ("reverse_loop", 3, (1, 5)),
        ("repeat", None, (1, 1)),
        ("repeat", 2, (3, 3)),
        ("batched_grad", None, (1, 1)),
        ("batched_grad", 2, (1, 3)),
        ("vmap_vjp", 4, (1, 2)),
        ("double_vjp", None, (1, 4)),
        ("double_vjp_repeat", 2, (2, 4)),
        ("forward_dual", None, (3, 0)),
        ("vmap_jvp", None, (1, 0)),
        ("vmap_jvp", 2, (2, 0)),
    ],
)
def test_passes_as_documented(
    name: str, chunk_size: int | None, passes: tuple[int, int]
) -> None:
    """Five outputs and three inputs of each sample, whatever the number of samples."""
    fn = Counting()
    for size in (1, 6):
        x, strategy = randn(size, 3), STRATEGIES[name]
        method = Method(
            strategy, sample_policy=SamplePolicy.BATCHED, chunk_size=chunk_size
        )
        assert count(method, fn, x, batch_dim=0) == (Passes(*passes),) * 2


def test_directions_are_no_more_than_asked_for() -> None:
    """One direction a pass, so that passes count what is computed."""
    fn, x = Counting(), randn(6, 3)
    for name, options, passes in (
        ("batched_grad", {"rows": torch.tensor([4, 0])}, (1, 2)),
        ("batched_grad", {"columns": torch.tensor([0])}, (1, 5)),
        ("vmap_jvp", {"columns": torch.tensor([0])}, (1, 0)),
        ("vmap_jvp", {"rows": torch.tensor([4, 0])}, (3, 0)),
        ("vmap_vjp", {"rows": slice(None, None, 2)}, (1, 3)),
    ):
        method = Method(
            STRATEGIES[name], sample_policy=SamplePolicy.BATCHED, chunk_size=1
        )
        asked: dict[str, Any] = {"batch_dim": 0, **options}
        assert count(method, fn, x, **asked)[1] == Passes(*passes)


@pytest.mark.parametrize("name", OF_PARAMETERS)
def test_progress_goes_up_to_one(name: str) -> None:
    fn, x = Counting(), randn(6, 3)
    problem, call = prepared(fn, x, batch_dim=0, wrt="params")
    method = replace(method_of(problem, call, STRATEGIES[name]), chunk_size=2)
    shares: list[float] = []
    tasks: list[Task] = []

    def progress(task: Task, share: float) -> None:
        tasks.append(task)
        shares.append(share)

    Sweep(problem, method).run(call, progress=progress)
    assert len(set(tasks)) == len(tasks)
    assert shares == sorted(set(shares))
    assert shares[-1] == 1
    assert shares[0] > 0


def test_plan_says_the_passes_of_its_calls() -> None:
    fn, x = Counting(), randn(6, 3)
    for name in ("reverse_loop", "vmap_jvp", "repeat"):
        plan = jacengine.plan(fn, x, batch_dim=0, effort="none", strategies=[name])
        fn.tally.restart()
        plan(x)
        assert plan.chosen.passes == fn.tally.passes
