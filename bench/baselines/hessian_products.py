"""Second derivatives along each axis, without the rest of the Hessian.

A Hessian-vector product is a directional derivative of the gradient; its entry along
the direction is one of the diagonal. B. Pearlmutter, Fast exact multiplication by the
Hessian, 1994.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, cast, final

import torch
from torch import Tensor
from torch.func import grad, jvp, vmap

from jacengine.bench.baselines.attempt import attempt
from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.baselines.memory_limits import too_hungry_twice
from jacengine.bench.baselines.transforms import detached
from jacengine.bench.baselines.varied import Varied
from jacengine.bench.workload import Question, Workload
from jacengine.interface import Unsupported
from jacengine.problem.quantity import Quantity


@final
@dataclass(frozen=True)
class VmapHvp(Baseline):
    """Forward over reverse mode along all axes at once, of all samples at once.

    For parameters each one's own axes, with the others held: blocks of the Hessian
    beside the diagonal are not computed. A whole Hessian this way is
    `torch.func.hessian`.
    """

    name: ClassVar[str] = "vmap(hvp)"
    source: ClassVar[str] = "PyTorch tutorial: Jacobians, Hessians, hvp, vhp, and more"
    quantities: ClassVar[frozenset[Quantity]] = frozenset(
        {"hessian_diagonal", "laplacian"}
    )

    def declines(
        self, workload: Workload, size: int, question: Question
    ) -> Unsupported | None:
        """Try it at the tiny size, and look whether the real one fits."""
        del size
        varied = Varied.of(question)
        axes = varied.in_size
        if varied.by_params:
            axes = max(p.numel() for p in varied.value.values())
        return attempt(self, workload, question) or too_hungry_twice(
            varied, axes, looped=False
        )

    def prepare(self, workload: Workload, size: int, question: Question) -> Prepared:
        """Write the function of one sample, whose output must be one number."""
        del workload, size
        varied = Varied.of(question)
        out = varied.out_shape
        single = varied.fn if varied.samples is None else varied.one
        traced = question.quantity == "laplacian"

        def diagonal(value: Any, *rest: Any) -> Any:
            if not isinstance(value, dict):
                return _diagonal(lambda x: single(x, *rest), value)
            named = cast("dict[str, Tensor]", value)

            def held(name: str) -> Callable[[Tensor], Tensor]:
                return lambda x: single({**named, name: x}, *rest)

            return {name: _diagonal(held(name), x) for name, x in named.items()}

        def part(value: Any, *rest: Any) -> Any:
            found = diagonal(value, *rest)
            blocks = found if isinstance(found, dict) else {"": found}
            if traced:
                sums = [block.sum() for block in blocks.values()]
                return torch.stack(sums).sum().reshape(out)
            shaped = {n: b.reshape(*out, *b.shape) for n, b in blocks.items()}
            return shaped if isinstance(found, dict) else shaped[""]

        if varied.samples is not None:
            part = vmap(part, in_dims=varied.axes)
        return Prepared(lambda: detached(part(varied.value, *varied.rest)))


def _diagonal(fn: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the second derivative along each axis, `(*in)`."""
    slope = grad(lambda x: fn(x).reshape(()))

    def along(axis: Tensor) -> Tensor:
        product = cast("Tensor", jvp(slope, (x,), (axis,))[1])
        return (product * axis).sum()

    axes = torch.eye(x.numel(), dtype=x.dtype, device=x.device)
    return vmap(along)(axes.reshape(-1, *x.shape)).reshape(x.shape)
