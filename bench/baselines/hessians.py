"""`torch.func.hessian` and its like: nested `jacrev` and `jacfwd`, plain or mapped.

They give the whole Hessian, of which a diagonal or a trace is taken. Plain, they know
no samples: the Hessian of a whole batch is mostly zeros, so users loop over samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch.func import hessian, jacfwd, jacrev, vmap
from torch.utils import _pytree as pytree

from jacengine.bench.baselines.attempt import attempt
from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.baselines.memory_limits import too_hungry_twice
from jacengine.bench.baselines.parts import parted
from jacengine.bench.baselines.transforms import Transform, detached
from jacengine.bench.baselines.varied import Varied
from jacengine.bench.workload import Question, Workload
from jacengine.interface import Unsupported
from jacengine.problem.quantity import SECOND_ORDER, Quantity


def _reverse_twice(fn: Callable[..., Any]) -> Callable[..., Any]:
    return jacrev(jacrev(fn))


def _forward_twice(fn: Callable[..., Any]) -> Callable[..., Any]:
    return jacfwd(jacfwd(fn))


def stacked(samples: Iterable[Any]) -> Any:
    """Put what was computed of each sample side by side."""
    return pytree.tree_map(lambda *same: torch.stack(same), *samples)


class _Plain(Baseline):
    source: ClassVar[str] = "torch.func documentation"
    quantities: ClassVar[frozenset[Quantity]] = SECOND_ORDER
    transform: ClassVar[Transform]

    def declines(
        self, workload: Workload, size: int, question: Question
    ) -> Unsupported | None:
        """Try it at the tiny size, and look whether the real one fits."""
        del size
        varied = Varied.of(question)
        directions = varied.in_size * varied.out_shape.numel()
        return attempt(self, workload, question) or too_hungry_twice(
            varied, directions, looped=True
        )

    def prepare(self, workload: Workload, size: int, question: Question) -> Prepared:
        """Transform the function of one sample once."""
        del workload, size
        varied = Varied.of(question)
        single = varied.fn if varied.samples is None else varied.one
        part = parted(type(self).transform(single), question.quantity)
        if varied.samples is None:
            return Prepared(lambda: detached(part(varied.value, *varied.rest)))
        return Prepared(lambda: detached(stacked(part(*one) for one in varied.apart())))


class _Vmapped(Baseline):
    source: ClassVar[str] = "PyTorch tutorial: Jacobians, Hessians, hvp, vhp, and more"
    quantities: ClassVar[frozenset[Quantity]] = SECOND_ORDER
    transform: ClassVar[Transform]
    pairs: ClassVar[bool] = False

    def declines(
        self, workload: Workload, size: int, question: Question
    ) -> Unsupported | None:
        """Try it at the tiny size, if there are samples; look whether all fit."""
        del size
        if question.batch_dim is None:
            return Unsupported("one point: there are no samples to map over")
        varied = Varied.of(question)
        inner = varied.in_size if self.pairs else varied.out_shape.numel()
        return attempt(self, workload, question) or too_hungry_twice(
            varied, varied.in_size * inner, looped=False
        )

    def prepare(self, workload: Workload, size: int, question: Question) -> Prepared:
        """Transform the function of one sample once."""
        del workload, size
        varied = Varied.of(question)
        part = parted(type(self).transform(varied.one), question.quantity)
        mapped = vmap(part, in_dims=varied.axes)
        return Prepared(lambda: detached(mapped(varied.value, *varied.rest)))


@final
@dataclass(frozen=True)
class Hessian(_Plain):
    """Forward over reverse mode."""

    name: ClassVar[str] = "torch.func.hessian"
    transform: ClassVar[Transform] = staticmethod(hessian)


@final
@dataclass(frozen=True)
class JacrevTwice(_Plain):
    """Reverse over reverse mode."""

    name: ClassVar[str] = "jacrev(jacrev)"
    transform: ClassVar[Transform] = staticmethod(_reverse_twice)


@final
@dataclass(frozen=True)
class VmapHessian(_Vmapped):
    """Forward over reverse mode, all samples at once."""

    name: ClassVar[str] = "vmap(hessian)"
    transform: ClassVar[Transform] = staticmethod(hessian)


@final
@dataclass(frozen=True)
class VmapJacrevTwice(_Vmapped):
    """Reverse over reverse mode, all samples at once."""

    name: ClassVar[str] = "vmap(jacrev(jacrev))"
    transform: ClassVar[Transform] = staticmethod(_reverse_twice)


@final
@dataclass(frozen=True)
class VmapJacfwdTwice(_Vmapped):
    """Forward over forward mode, all samples and all pairs of directions at once."""

    name: ClassVar[str] = "vmap(jacfwd(jacfwd))"
    transform: ClassVar[Transform] = staticmethod(_forward_twice)
    pairs: ClassVar[bool] = True
