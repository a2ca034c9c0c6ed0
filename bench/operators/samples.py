"""Calls of torch's operators, from the samples that torch tests them with.

Reads `torch.testing._internal`, which needs expecttest. Source: OpInfo,
https://github.com/pytorch/pytorch/blob/main/torch/testing/_internal/opinfo/core.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils import _pytree as pytree

MAX_ENTRIES = 4_000_000
"""Of a Jacobian, or of a Hessian: larger samples are left out."""


@dataclass(frozen=True)
class Sample:
    """An operator at arguments.

    Attributes:
        operator: Its name.
        index: The position among torch's samples of the operator.
        fn: The operator as a function of `tensors` alone; it returns a tuple of real
            tensors, complex outputs by their real and imaginary parts.
        tensors: Its float64 arguments, detached.
    """

    operator: str
    index: int
    fn: Callable[..., tuple[Tensor, ...]]
    tensors: tuple[Tensor, ...]


def operator_names() -> tuple[str, ...]:
    """Return the names of all operators that torch can differentiate in float64."""
    return tuple(dict.fromkeys(_name(info) for info in _operators()))


def samples(name: str, count: int) -> list[Sample]:
    """Return the first samples of an operator that can be differentiated.

    Args:
        name: One of `operator_names()`.
        count: How many at most.
    """
    (info,) = (info for info in _operators() if _name(info) == name)
    found: list[Sample] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for index, given in enumerate(_given(info)):
            sample = _sample(info, index, given)
            if _differentiable(sample):
                found.append(sample)
            if len(found) == count:
                break
    return found


def _operators() -> Iterator[Any]:
    for info in op_db:
        if info.supports_autograd and torch.float64 in info.supported_dtypes("cpu"):
            yield info


def _name(info: Any) -> str:
    return ".".join(filter(None, (info.name, info.variant_test_name)))


def _given(info: Any) -> Iterator[Any]:
    yield from info.sample_inputs("cpu", torch.float64, requires_grad=True)


def _sample(info: Any, index: int, given: Any) -> Sample:
    leaves, structure = pytree.tree_flatten((given.input, given.args, given.kwargs))
    active = [
        i
        for i, leaf in enumerate(leaves)
        if isinstance(leaf, Tensor) and leaf.requires_grad
    ]
    fixed = [leaf.detach() if isinstance(leaf, Tensor) else leaf for leaf in leaves]

    def fn(*tensors: Tensor) -> tuple[Tensor, ...]:
        values = list(fixed)
        for position, tensor in zip(active, tensors, strict=True):
            values[position] = tensor
        first, args, kwargs = pytree.tree_unflatten(values, structure)
        outputs = info.gradcheck_wrapper(info.get_op(), first, *args, **kwargs)
        return _real(given.output_process_fn_grad(outputs))

    return Sample(_name(info), index, fn, tuple(fixed[position] for position in active))


def _real(outputs: Any) -> tuple[Tensor, ...]:
    """Return the outputs that have derivatives, as real and dense tensors."""
    found: list[Tensor] = []
    for output in pytree.tree_leaves(outputs):
        if not isinstance(output, Tensor):
            continue
        dense = output if output.layout == torch.strided else output.to_dense()
        if dense.is_complex():
            found.append(torch.view_as_real(dense.resolve_conj()))
        elif dense.is_floating_point():
            found.append(dense)
    return tuple(found)


def _differentiable(sample: Sample) -> bool:
    """Whether there is something to differentiate, and not too much of it."""
    with torch.no_grad():
        rows = sum(output.numel() for output in sample.fn(*sample.tensors))
    columns = sum(tensor.numel() for tensor in sample.tensors)
    return 0 < max(rows, columns) * columns <= MAX_ENTRIES and rows > 0
