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
        return {
            "wrt": self.wrt,
            "batch_dim": self.batch_dim,
            "quantity": self.quantity,
        }

    def to(
        self,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> DerivativeSpec:
        """Return a copy on another device or in another precision.

        Args:
            device: The device; `None` keeps it.
            dtype: The dtype of floating-point parameters and arguments; `None` keeps
                it.

        Returns:
            The copy; a function that is no module is the same one.
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
class JaxFunction:
    """The function of a spec in JAX: of one sample, if there are samples.

    Attributes:
        fn: Maps the primal, then everything else, to the output, in their dtype.
        primal: What to differentiate by: an array, or parameters by the names that
            PyTorch gives them.
        rest: The other arguments.
        in_axes: The sample axis of `primal` and of each of `rest`, as for `jax.vmap`;
            `None` where samples share it, and all `None` for a single point.
    """

    fn: Callable[..., Any]
    primal: Any
    rest: tuple[Any, ...]
    in_axes: tuple[int | None, ...]


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
        closed_form: The result by formula, if there is one.
        jax_function: The same function in JAX, on the values of a spec, if there is
            one; imports JAX only when called.
    """

    name: str
    origin: str
    use: str
    parameter: str
    sizes: tuple[int, int, int]
    tiny: int
    build: Callable[[int], DerivativeSpec]
    closed_form: Callable[[DerivativeSpec], Any] | None = None
    jax_function: Callable[[DerivativeSpec], JaxFunction] | None = None


def seeded(build: Callable[[int], DerivativeSpec]) -> Callable[[int], DerivativeSpec]:
    """Seed the random numbers of a builder; keep the caller's random state."""

    @functools.wraps(build)
    def built(size: int) -> DerivativeSpec:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return build(size)

    return built


def on_samples(
    make: Callable[[], nn.Module],
    *shape: int,
    draw: Callable[..., Tensor] = torch.randn,
    wrt: int | str = 0,
) -> Callable[[int], DerivativeSpec]:
    """Return a builder of a module on random samples.

    Args:
        make: Makes the module.
        shape: The shape of a sample.
        draw: Draws the samples.
        wrt: What to differentiate by.

    Returns:
        Maps a number of samples to the spec.
    """
    return seeded(lambda n: DerivativeSpec(make(), (draw(n, *shape),), wrt))
