"""`torch.func.jacrev` and `jacfwd`, plain and under `vmap`.

Plain, they know no samples: see `functional` for what their users do about it. Under
`vmap` the function is written for one sample; parameters are shared, with
`in_dims=(None, 0)`, as in PyTorch's tutorial on per-sample gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch.func import jacfwd, jacrev, vmap
from torch.utils import _pytree as pytree

from jacengine.bench.baselines.attempt import attempt
from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.baselines.memory_limits import too_hungry
from jacengine.bench.baselines.varied import Varied
from jacengine.bench.workload import Question, Workload
from jacengine.interface import Unsupported

Transform = Callable[..., Callable[..., Any]]
"""Maps a function to its derivative."""


def detached(J: Any) -> Any:
    """Cut what was computed off the graph."""
    return pytree.tree_map(torch.Tensor.detach, J)


class _Plain(Baseline):
    transform: ClassVar[Transform]
    forward: ClassVar[bool]

    def declines(
        self, workload: Workload, size: int, question: Question
    ) -> Unsupported | None:
        """Try it at the tiny size, and look whether the real one fits."""
        del size
        return attempt(self, workload, question) or too_hungry(
            Varied.of(question), forward=self.forward, mapped=False
        )

    def prepare(self, workload: Workload, size: int, question: Question) -> Prepared:
        """Transform the function once."""
        del workload, size
        varied = Varied.of(question)
        transform = type(self).transform
        if varied.by_params or varied.samples is None:
            plain = transform(varied.fn)
            return Prepared(lambda: detached(plain(varied.value, *varied.rest)))
        if self.forward:
            shifted = transform(varied.shifted)
            return Prepared(lambda: detached(shifted(varied.no_offset())))
        summed = transform(varied.summed)
        inner = varied.value.ndim - 1
        return Prepared(lambda: detached(summed(varied.value)).movedim(-1 - inner, 0))


class _Vmapped(Baseline):
    transform: ClassVar[Transform]
    forward: ClassVar[bool]

    def declines(
        self, workload: Workload, size: int, question: Question
    ) -> Unsupported | None:
        """Try it at the tiny size, if there are samples; look whether all fit."""
        del size
        if question.batch_dim is None:
            return Unsupported("one point: there are no samples to map over")
        return attempt(self, workload, question) or too_hungry(
            Varied.of(question), forward=self.forward, mapped=True
        )

    def prepare(self, workload: Workload, size: int, question: Question) -> Prepared:
        """Transform the function of one sample once."""
        del workload, size
        varied = Varied.of(question)
        mapped = vmap(type(self).transform(varied.one), in_dims=varied.axes)
        return Prepared(lambda: detached(mapped(varied.value, *varied.rest)))


@final
@dataclass(frozen=True)
class Jacrev(_Plain):
    """Reverse mode, all outputs at once."""

    name: ClassVar[str] = "torch.func.jacrev"
    source: ClassVar[str] = "torch.func documentation"
    transform: ClassVar[Transform] = staticmethod(jacrev)
    forward: ClassVar[bool] = False


@final
@dataclass(frozen=True)
class Jacfwd(_Plain):
    """Forward mode, all inputs at once."""

    name: ClassVar[str] = "torch.func.jacfwd"
    source: ClassVar[str] = "torch.func documentation"
    transform: ClassVar[Transform] = staticmethod(jacfwd)
    forward: ClassVar[bool] = True


@final
@dataclass(frozen=True)
class VmapJacrev(_Vmapped):
    """Reverse mode, all samples and outputs at once."""

    name: ClassVar[str] = "vmap(jacrev)"
    source: ClassVar[str] = "PyTorch tutorial: Jacobians, per-sample-gradients"
    transform: ClassVar[Transform] = staticmethod(jacrev)
    forward: ClassVar[bool] = False


@final
@dataclass(frozen=True)
class VmapJacfwd(_Vmapped):
    """Forward mode, all samples and inputs at once."""

    name: ClassVar[str] = "vmap(jacfwd)"
    source: ClassVar[str] = "PyTorch tutorial: Jacobians, per-sample-gradients"
    transform: ClassVar[Transform] = staticmethod(jacfwd)
    forward: ClassVar[bool] = True
