"""JAX: derivatives compiled by XLA, over samples by `jax.vmap`.

For workloads that have a twin in JAX, on the CPU: compiled before anything is timed, in
the same precision, with as many threads as PyTorch has, and waited for. The result
stays in JAX; turning it into tensors is not part of what is timed.
"""

from __future__ import annotations

import functools
import os
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, cast, final

import torch
from torch.utils.dlpack import from_dlpack

from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.peers import absent, peer
from jacengine.bench.workload import Question, Workload
from jacengine.interface import Unsupported
from jacengine.problem.quantity import Quantity


class Jitted(Baseline):
    """A transformation of JAX, compiled."""

    def missing(self) -> str | None:
        """JAX is a package of its own."""
        return absent("jax")

    @abstractmethod
    def derivative(
        self, fn: Callable[..., Any], quantity: Quantity
    ) -> Callable[..., Any]:
        """Transform the function of one point, or of one sample.

        Args:
            fn: The twin's.
            quantity: What to compute of it.

        Returns:
            A function of the same arguments.
        """

    def declines(
        self, workload: Workload, size: int, question: Question
    ) -> Unsupported | None:
        """Ask for a twin, and for the CPU."""
        del size
        if workload.twin is None:
            return Unsupported("the workload is not written in JAX")
        if question.args[0].device.type != "cpu":
            return Unsupported("JAX is installed for the CPU")
        return None

    def prepare(self, workload: Workload, size: int, question: Question) -> Prepared:
        """Compile, by running once."""
        del size
        assert workload.twin is not None
        jax = _started()
        twin = workload.twin(question)
        derivative = self.derivative(twin.fn, question.quantity)
        if any(axis is not None for axis in twin.axes):
            derivative = jax.vmap(derivative, in_axes=twin.axes)
        compiled = jax.jit(derivative)

        def run() -> Any:
            return jax.block_until_ready(compiled(twin.varied, *twin.rest))

        run()
        return Prepared(run, lambda J: _tensors(J, twin.varied))


@functools.cache
def _started() -> Any:
    """Import JAX and start its threads, as many as PyTorch has."""
    jax = peer("jax")
    # Otherwise it rounds float64 to float32; float32 stays what it is.
    jax.config.update("jax_enable_x64", val=True)
    asked = os.environ.get("PJRT_NPROC")
    os.environ["PJRT_NPROC"] = asked or str(torch.get_num_threads())
    jax.devices()
    if asked is None:
        del os.environ["PJRT_NPROC"]
    return jax


def _tensors(J: Any, varied: Any) -> Any:
    """Return the arrays as tensors on the same memory, parameters in their order."""
    if isinstance(J, dict):
        return {name: _tensors(cast("Any", J)[name], varied) for name in varied}
    return from_dlpack(J)


@final
@dataclass(frozen=True)
class JaxJacrev(Jitted):
    """Reverse mode."""

    name: ClassVar[str] = "jax.jit(jacrev)"
    source: ClassVar[str] = "JAX documentation: jacrev, vmap, jit"

    def derivative(
        self, fn: Callable[..., Any], quantity: Quantity
    ) -> Callable[..., Any]:
        """Take the Jacobian."""
        del quantity
        return cast("Callable[..., Any]", peer("jax").jacrev(fn))


@final
@dataclass(frozen=True)
class JaxJacfwd(Jitted):
    """Forward mode."""

    name: ClassVar[str] = "jax.jit(jacfwd)"
    source: ClassVar[str] = "JAX documentation: jacfwd, vmap, jit"

    def derivative(
        self, fn: Callable[..., Any], quantity: Quantity
    ) -> Callable[..., Any]:
        """Take the Jacobian."""
        del quantity
        return cast("Callable[..., Any]", peer("jax").jacfwd(fn))
