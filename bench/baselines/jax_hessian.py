"""JAX's Hessian, and the forward Laplacian of folx, compiled.

The forward Laplacian carries a value, its gradient and its Laplacian through the
function together: R. Li et al., A computational framework for neural network-based
variational Monte Carlo with forward Laplacian, 2024, https://arxiv.org/abs/2307.08214;
N. Gao, J. Koehler, A. Foster, folx, 2023, https://github.com/microsoft/folx.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, final

from jacengine.bench.baselines.jax_jit import Jitted
from jacengine.bench.baselines.parts import parted
from jacengine.bench.peers import absent, peer
from jacengine.problem.quantity import SECOND_ORDER, Quantity


@final
@dataclass(frozen=True)
class JaxHessian(Jitted):
    """Forward over reverse mode; the compiler sees which part is taken."""

    name: ClassVar[str] = "jax.jit(hessian)"
    source: ClassVar[str] = "JAX documentation: hessian, vmap, jit"
    quantities: ClassVar[frozenset[Quantity]] = SECOND_ORDER

    def derivative(
        self, fn: Callable[..., Any], quantity: Quantity
    ) -> Callable[..., Any]:
        """Take the whole Hessian's part."""
        return parted(peer("jax").hessian(fn), quantity)


class _Folx(Jitted):
    source: ClassVar[str] = "folx documentation"
    quantities: ClassVar[frozenset[Quantity]] = frozenset({"laplacian"})
    sparsity_threshold: ClassVar[int]

    def missing(self) -> str | None:
        """Folx and JAX are packages of their own."""
        return absent("folx") or super().missing()

    def derivative(
        self, fn: Callable[..., Any], quantity: Quantity
    ) -> Callable[..., Any]:
        """Carry the Laplacian forward; what does not vary is captured."""
        del quantity
        forward = peer("folx").forward_laplacian

        def laplacian(value: Any, *rest: Any) -> Any:
            carried = forward(
                lambda x: fn(x, *rest), sparsity_threshold=self.sparsity_threshold
            )
            return carried(value).laplacian

        return laplacian


@final
@dataclass(frozen=True)
class Folx(_Folx):
    """With dense derivatives."""

    name: ClassVar[str] = "folx.forward_laplacian"
    sparsity_threshold: ClassVar[int] = 0


@final
@dataclass(frozen=True)
class FolxSparse(_Folx):
    """With derivatives that stay sparse, as recommended for wave functions."""

    name: ClassVar[str] = "folx.forward_laplacian(sparse)"
    sparsity_threshold: ClassVar[int] = 6
