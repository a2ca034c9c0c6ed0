"""JAX: the Jacobian compiled by XLA, over samples by `jax.vmap`.

For workloads that have a twin in JAX, on the CPU: compiled before anything is timed, in
the same precision, with as many threads as PyTorch has, and waited for. The result
stays in JAX; turning it into tensors is not part of what is timed.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import Any, ClassVar, cast, final

import torch
from torch.utils.dlpack import from_dlpack

from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.peers import absent, peer
from jacengine.bench.workload import Question, Workload
from jacengine.interface import Unsupported


class _Jitted(Baseline):
    transform: ClassVar[str]

    def missing(self) -> str | None:
        """JAX is a package of its own."""
        return absent("jax")

    def check(
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
        jacobian = getattr(jax, self.transform)(twin.fn)
        if any(axis is not None for axis in twin.axes):
            jacobian = jax.vmap(jacobian, in_axes=twin.axes)
        compiled = jax.jit(jacobian)

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
    if isinstance(varied, dict):
        return {name: from_dlpack(J[name]) for name in cast("Any", varied)}
    return from_dlpack(J)


@final
@dataclass(frozen=True)
class JaxJacrev(_Jitted):
    """Reverse mode."""

    name: ClassVar[str] = "jax.jit(jacrev)"
    source: ClassVar[str] = "JAX documentation: jacrev, vmap, jit"
    transform: ClassVar[str] = "jacrev"


@final
@dataclass(frozen=True)
class JaxJacfwd(_Jitted):
    """Forward mode."""

    name: ClassVar[str] = "jax.jit(jacfwd)"
    source: ClassVar[str] = "JAX documentation: jacfwd, vmap, jit"
    transform: ClassVar[str] = "jacfwd"
