"""`torch.autograd.functional.hessian`, in a loop and vectorised.

It knows no samples, and gives a batch's Hessian as `(B, *in, B, *in)` of mostly zeros;
its users loop over samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, cast, final

import torch
from torch import Tensor

from jacengine.bench.baselines.attempt import attempt
from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.baselines.hessians import stacked
from jacengine.bench.baselines.memory_limits import too_hungry_twice
from jacengine.bench.baselines.parts import parted
from jacengine.bench.baselines.varied import Varied
from jacengine.bench.workload import Question, Workload
from jacengine.interface import Unsupported
from jacengine.problem.quantity import SECOND_ORDER, Quantity


class _Functional(Baseline):
    source: ClassVar[str] = "torch.autograd.functional documentation"
    quantities: ClassVar[frozenset[Quantity]] = SECOND_ORDER
    vectorize: ClassVar[bool]

    def declines(
        self, workload: Workload, size: int, question: Question
    ) -> Unsupported | None:
        """Try it at the tiny size, and look whether the real one fits."""
        del size
        refusal = attempt(self, workload, question)
        if refusal is not None or not self.vectorize:
            return refusal
        varied = Varied.of(question)
        return too_hungry_twice(varied, varied.in_size, looped=True)

    def prepare(self, workload: Workload, size: int, question: Question) -> Prepared:
        """Write the function of one sample, whose output must be one number."""
        del workload, size
        varied = Varied.of(question)

        def hessian(value: Any, *rest: Any) -> Any:
            return self._hessian(varied, value, rest)

        part = parted(hessian, question.quantity)
        if varied.samples is None:
            return Prepared(lambda: part(varied.value, *varied.rest))
        return Prepared(lambda: stacked(part(*one) for one in varied.apart()))

    def _hessian(self, varied: Varied, value: Any, rest: tuple[Any, ...]) -> Any:
        """Return one sample's Hessian, for parameters by both names."""
        single = varied.fn if varied.samples is None else varied.one
        whole: Callable[..., Any] = torch.autograd.functional.hessian
        out = varied.out_shape
        if not isinstance(value, dict):
            H = whole(lambda x: single(x, *rest), value, vectorize=self.vectorize)
            return H.reshape(*out, *H.shape)
        named = cast("dict[str, Tensor]", value)

        def fn(*tensors: Tensor) -> Tensor:
            return single(dict(zip(named, tensors, strict=True)), *rest)

        blocks = whole(fn, tuple(named.values()), vectorize=self.vectorize)
        return {
            p: {q: H.reshape(*out, *H.shape) for q, H in zip(named, row, strict=True)}
            for p, row in zip(named, blocks, strict=True)
        }


@final
@dataclass(frozen=True)
class FunctionalHessian(_Functional):
    """A loop of `autograd.grad` over the gradient's entries."""

    name: ClassVar[str] = "functional.hessian"
    vectorize: ClassVar[bool] = False


@final
@dataclass(frozen=True)
class FunctionalHessianVectorized(_Functional):
    """All entries of the gradient at once, by `is_grads_batched`."""

    name: ClassVar[str] = "functional.hessian(vectorize)"
    vectorize: ClassVar[bool] = True
