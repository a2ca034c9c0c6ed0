"""`torch.autograd.functional.jacobian`, in its three ways.

It knows no samples. For inputs its users sum the outputs over the batch, or shift all
inputs together in forward mode, which gives each sample's Jacobian and not a
`(B, O, B, I)` array of zeros; by parameters the Jacobian of the batch is that of each
sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, cast, final

import torch
from torch import Tensor

from jacengine.bench.baselines.attempt import attempt
from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.baselines.memory_limits import too_hungry
from jacengine.bench.baselines.varied import Varied
from jacengine.bench.workload import Question, Workload
from jacengine.interface import Unsupported


class _Functional(Baseline):
    source: ClassVar[str] = "torch.autograd.functional documentation"
    options: ClassVar[dict[str, Any]]
    forward: ClassVar[bool] = False

    def declines(
        self, workload: Workload, size: int, question: Question
    ) -> Unsupported | None:
        """Try it at the tiny size, and look whether the real one fits."""
        del size
        refusal = attempt(self, workload, question)
        if refusal is not None or not self.options:
            return refusal
        return too_hungry(Varied.of(question), forward=self.forward, mapped=False)

    def prepare(self, workload: Workload, size: int, question: Question) -> Prepared:
        """Write the question as a function of the varied tensors."""
        del workload, size
        varied = Varied.of(question)
        if varied.by_params:
            return self._by_params(varied)
        if varied.samples is None:
            return self._prepared(
                lambda value: varied.fn(value, *varied.rest), varied.value
            )
        if self.forward:
            return self._prepared(varied.shifted, varied.no_offset())
        inner = varied.value.ndim - 1
        return self._prepared(
            varied.summed, varied.value, lambda J: J.movedim(-1 - inner, 0)
        )

    def _prepared(
        self,
        fn: Callable[..., Tensor],
        value: Any,
        arranged: Callable[[Any], Any] = lambda J: J,
    ) -> Prepared:
        def run() -> Any:
            return arranged(
                torch.autograd.functional.jacobian(fn, value, **self.options)
            )

        return Prepared(run)

    def _by_params(self, varied: Varied) -> Prepared:
        names = list(varied.value)

        def fn(*tensors: Tensor) -> Tensor:
            params = dict(zip(names, tensors, strict=True))
            return varied.fn(params, *varied.rest)

        def named(blocks: Any) -> dict[str, Tensor]:
            return dict(zip(names, cast("tuple[Tensor, ...]", blocks), strict=True))

        return self._prepared(fn, tuple(varied.value.values()), named)


@final
@dataclass(frozen=True)
class FunctionalLoop(_Functional):
    """A loop of `autograd.grad` over the outputs."""

    name: ClassVar[str] = "functional.jacobian"
    options: ClassVar[dict[str, Any]] = {}


@final
@dataclass(frozen=True)
class FunctionalVectorized(_Functional):
    """All outputs at once, by `is_grads_batched`."""

    name: ClassVar[str] = "functional.jacobian(vectorize)"
    options: ClassVar[dict[str, Any]] = {"vectorize": True}


@final
@dataclass(frozen=True)
class FunctionalForward(_Functional):
    """All inputs at once, in forward mode."""

    name: ClassVar[str] = "functional.jacobian(forward-mode)"
    options: ClassVar[dict[str, Any]] = {
        "vectorize": True,
        "strategy": "forward-mode",
    }
    forward: ClassVar[bool] = True
