"""Differentiate an operator with jacengine and with plain autograd, and compare."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

import jacengine
from jacengine.bench.operators.samples import Sample
from jacengine.errors import JacengineError

What = Literal["Jacobian", "Hessian", "pattern", "elimination"]
"""What is computed: by `auto` and `hessian`, or read from the operator as a program."""
DERIVATIVES: tuple[What, ...] = ("Jacobian", "Hessian")
READINGS: tuple[What, ...] = ("pattern", "elimination")
Outcome = Literal["right", "doubtful", "refused", "wrong", "error", "crash", "hang"]
TOLERANCE = 1e-7
"""Relative to the largest entry of a block; samples are in float64 ..."""
ROUNDING = 1e-3
"""... and below this an entry may be what rounding leaves of zero."""


@dataclass(frozen=True)
class Case:
    """A derivative of an operator at one of its samples.

    Attributes:
        operator: The name of the operator.
        sample: The position of the sample among torch's.
        what: What is computed; a Hessian is of a combination of the outputs.
        inputs: The positions of the differentiated inputs among the float64 tensors.
    """

    operator: str
    sample: int
    what: What
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Trial:
    """What became of a case.

    Attributes:
        case: The case.
        outcome: `"right"`: as plain autograd; `"doubtful"`: likewise, with a warning
            that finite differences disagree; `"refused"`: an error of jacengine;
            `"error"`: any other.
        detail: The message, or how far from plain autograd it was.
    """

    case: Case
    outcome: Outcome
    detail: str = ""


def cases(sample: Sample, kinds: Sequence[What] = DERIVATIVES) -> Iterator[Case]:
    """Yield what is computed by each input alone, and derivatives by all together."""
    positions = tuple(range(len(sample.tensors)))
    alone = [(position,) for position in positions]
    for what in kinds:
        together = [positions] if what in DERIVATIVES else []
        for inputs in dict.fromkeys([*alone, *together]):
            yield Case(sample.operator, sample.index, what, inputs)


def attempt(sample: Sample, case: Case) -> Trial:
    """Compute what a case is of, and compare with plain autograd."""
    if case.what in READINGS:
        return _attempt_reading(sample, case)
    inputs, second = case.inputs, case.what == "Hessian"
    fn = _combined(sample.fn) if second else sample.fn
    derivative = jacengine.hessian if second else jacengine.auto
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.manual_seed(0)
        try:
            computed = derivative(fn, *sample.tensors, wrt=inputs, randomness="same")
        except JacengineError as refusal:
            return Trial(case, "refused", f"{type(refusal).__name__}: {refusal}")
        except Exception as error:
            return Trial(case, "error", f"{type(error).__name__}: {error}")
    torch.manual_seed(0)
    try:
        expected = _plain_autograd(fn, sample.tensors, inputs, second=second)
    except RuntimeError as error:
        return Trial(case, "wrong", f"plain autograd cannot: {error}")
    for block, truth in zip(pytree.tree_leaves(computed), expected, strict=True):
        if difference := _difference(block, truth):
            return Trial(case, "wrong", difference)
    doubts = [str(w.message) for w in caught if "finite differences" in str(w.message)]
    return Trial(case, "doubtful", doubts[0]) if doubts else Trial(case, "right")


def _attempt_reading(sample: Sample, case: Case) -> Trial:
    """Read a program, and compare with plain autograd; nothing verifies it before."""
    from jacengine.program.eliminate import Elimination  # noqa: PLC0415 - slow
    from jacengine.program.pattern import read_pattern  # noqa: PLC0415 - slow
    from jacengine.program.program import Programs  # noqa: PLC0415 - slow

    (position,) = case.inputs
    tensors = [t.detach().clone() for t in sample.tensors]
    x = tensors[position].requires_grad_()
    missed: Tensor | None = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program, inputs = Programs().of(sample.fn, tuple(tensors), {})
            start = next((k for k, one in enumerate(inputs) if one is x), None)
            if start is None:
                return Trial(case, "refused", "the program does not read the input")
            if case.what == "pattern":
                pattern = read_pattern(program, inputs, [start])
                missed = pattern.to_tensor() == 0
                computed = missed.double()
            else:
                values = [v.detach() if isinstance(v, Tensor) else v for v in inputs]
                computed = Elimination.of(program, start, 1).jacobian(values)
        except Exception as error:
            said = str(error).split(" from user code", 1)[0].split("\nfrom user", 1)[0]
            return Trial(case, "refused", f"{type(error).__name__}: {said}")
        (truth,) = _plain_autograd(sample.fn, sample.tensors, (position,), second=False)
    truth = truth.reshape(computed.shape)
    if missed is not None:
        nonzero = int((missed & (truth != 0) & ~truth.isnan()).sum())
        if nonzero:
            return Trial(case, "wrong", f"{nonzero} nonzeros are not in the pattern")
    elif difference := _difference(computed, truth):
        return Trial(case, "wrong", difference)
    return Trial(case, "right")


def _combined(fn: Callable[..., tuple[Tensor, ...]]) -> Callable[..., Tensor]:
    """Return a scalar function: the outputs, each entry with a weight of its own."""

    def scalar(*tensors: Tensor) -> Tensor:
        terms = [
            (torch.linspace(0.5, 1.5, output.numel()) * output.reshape(-1)).sum()
            for output in fn(*tensors)
        ]
        return torch.stack(terms).sum()

    return scalar


def _plain_autograd(
    fn: Callable[..., Any],
    tensors: tuple[Tensor, ...],
    inputs: tuple[int, ...],
    *,
    second: bool,
) -> list[Tensor]:
    """Compute the blocks with one backward pass for each row."""
    leaves = list(tensors)
    for position in inputs:
        leaves[position] = leaves[position].detach().requires_grad_()
    active = [leaves[position] for position in inputs]
    outputs = list(pytree.tree_leaves(fn(*leaves)))
    if second:
        ones = [torch.ones_like(output) for output in outputs]
        outputs = _pull(outputs, ones, active, create_graph=True)
    blocks: list[Tensor] = []
    for number, output in enumerate(outputs):
        # Zeros for the other outputs: without them, torch takes mean and rstd of
        # native_group_norm for constants.
        seeds = [output.new_zeros(output.shape) for output in outputs]
        rows: list[list[Tensor]] = []
        for entry in range(output.numel()):
            seeds[number] = torch.zeros_like(output).flatten()
            seeds[number][entry] = 1
            seeds[number] = seeds[number].reshape(output.shape)
            rows.append(_pull(outputs, seeds, active))
        for column, x in enumerate(active):
            block = (
                torch.stack([row[column] for row in rows]) if rows else x.new_zeros(0)
            )
            blocks.append(block.reshape((*output.shape, *x.shape)))
    return blocks


def _pull(
    outputs: list[Tensor],
    seeds: list[Tensor],
    inputs: list[Tensor],
    *,
    create_graph: bool = False,
) -> list[Tensor]:
    """Pull cotangents back; outputs that are constants have none."""
    varying = [i for i, output in enumerate(outputs) if output.requires_grad]
    if not varying:
        return [torch.zeros_like(x, requires_grad=False) for x in inputs]
    found = torch.autograd.grad(
        [outputs[i] for i in varying],
        inputs,
        [seeds[i] for i in varying],
        retain_graph=True,
        create_graph=create_graph,
        allow_unused=True,
        materialize_grads=True,
    )
    return list(found)


def _difference(block: Tensor, truth: Tensor) -> str:
    """Say how far a block is from the truth, where that is finite, or nothing."""
    if block.shape != truth.shape:
        return f"got {tuple(block.shape)}, expected {tuple(truth.shape)}"
    # Of an operator that converts, blocks have the dtype of the output.
    tolerance = max(TOLERANCE, 4 * torch.finfo(block.dtype).eps)
    known = truth.isfinite()
    truth, block = truth[known], block.to(truth)[known]
    scale = max(float(truth.abs().max()) if truth.numel() else 0.0, ROUNDING)
    if torch.allclose(block, truth, tolerance, tolerance * scale):
        return ""
    worst = float((block - truth).abs().nan_to_num(torch.inf).max())
    return f"off by {worst:.1e}, where the largest entry is {scale:.1e}"
