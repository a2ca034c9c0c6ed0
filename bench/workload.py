"""Workloads: derivatives that people compute, in sizes that scale."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from jacengine.problem.quantity import Quantity


@dataclass(frozen=True)
class DerivativeSpec:
    """A derivative of a function at some arguments, as `jacengine.auto` computes it.

    Attributes:
        fn: The function or module; it returns one tensor.
        args: Its positional arguments, tensors; their axis 0 is the sample axis if
            `batch_dim` is 0.
        wrt: What to differentiate by: the index of an argument, or `"params"`.
        batch_dim: 0 if samples are independent, `None` for a single point.
        quantity: The quantity, of each sample if there are samples.
    """

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    wrt: int | str = 0
    batch_dim: int | None = 0
    quantity: Quantity = "jacobian"

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of `jacengine.auto` and `jacengine.plan`."""
        return {name: getattr(self, name) for name in ("wrt", "batch_dim", "quantity")}

    def to(
        self,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> DerivativeSpec:
        """Copy to another device or floating-point dtype; `None` keeps it.

        Parameters and arguments are copied; a function that is no module is the same.
        """

        def moved(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            floating = value.is_floating_point()
            return value.to(device=device, dtype=dtype if floating else None, copy=True)

        fn = self.fn
        if isinstance(fn, nn.Module):
            fn = copy.deepcopy(fn).to(device=device, dtype=dtype)
        return replace(self, fn=fn, args=tuple(map(moved, self.args)))


@dataclass(frozen=True)
class Workload:
    """A derivative that people compute, in several sizes.

    Attributes:
        name: `[a-z][a-z0-9_]*`, unique.
        origin: Its source: a paper, a data set, an example of a package.
        use: Who computes it and for what, in a sentence.
        parameter: What the size counts, in words.
        sizes: Small, medium and large.
        tiny: A size small enough for a loop over every entry.
        build: Builds a size, with the same values each time; leaves the caller's random
            state unchanged.
        jax_function: The same function in JAX, if there is one: of the spec, of the
            parameters by name if `fn` is a module that has some, and of the arguments
            of one sample, or of the single point. JAX is imported when it is called.
    """

    name: str
    origin: str
    use: str
    parameter: str
    sizes: tuple[int, int, int]
    tiny: int
    build: Callable[[int], DerivativeSpec]
    jax_function: Callable[..., Any] | None = None


def scale(parameter: str, *sizes: int, tiny: int) -> dict[str, Any]:
    """Return the fields of a workload that describe its sizes."""
    return {"parameter": parameter, "sizes": sizes, "tiny": tiny}


def seeded(build: Callable[[int], DerivativeSpec]) -> Callable[[int], DerivativeSpec]:
    """Seed the random numbers of a builder; keep the caller's random state."""

    @functools.wraps(build)
    def built(size: int) -> DerivativeSpec:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return build(size)

    return built
