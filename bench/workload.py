"""What a workload is: derivatives that people take, in sizes that scale."""

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
class Question:
    """One Jacobian, `jacengine.auto(fn, *args, wrt=wrt, batch_dim=batch_dim)`.

    Or something of a Hessian, where `quantity` says so.

    Attributes:
        fn: The function or module; it returns one tensor.
        args: Its positional arguments; tensors, with samples along axis 0 in all of
            them if `batch_dim` is 0.
        wrt: What to differentiate: the index of an argument, or `"params"`.
        batch_dim: 0 if samples are independent, `None` if it is one point.
        quantity: What is computed, of each sample if there are samples.
    """

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    wrt: int | str = 0
    batch_dim: int | None = 0
    quantity: Quantity = "jacobian"

    def to(
        self,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Question:
        """Return a copy elsewhere or in another precision.

        Args:
            device: Where to; `None` stays.
            dtype: Of the module's and the arguments' floating-point numbers; `None`
                keeps it.

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
class Twin:
    """The same function in JAX, for one sample if there are samples.

    It is the function, whatever is to be computed of it.

    Attributes:
        fn: Maps what is differentiated, then everything else, to the output. It
            computes in the dtype of what it is given.
        varied: What to differentiate: an array, or parameters by the names that
            PyTorch gives them.
        rest: The other arguments.
        axes: The axis of the samples in `varied` and in each of `rest`, as `in_axes` of
            `jax.vmap`; `None` where samples share it, and all `None` for one point.
    """

    fn: Callable[..., Any]
    varied: Any
    rest: tuple[Any, ...] = ()
    axes: tuple[int | None, ...] = (None,)


@dataclass(frozen=True)
class Workload:
    """A Jacobian, or something of a Hessian, that somebody takes.

    Attributes:
        name: `[a-z][a-z0-9_]*`, unique.
        origin: Where it is from: a paper, a data set, a package's example.
        use: Who takes it and what they do with it, in a sentence.
        parameter: What the size counts, in words.
        sizes: Small, medium and large.
        tiny: A size small enough for a loop over every entry.
        build: Makes the question of a size, with the same values each time; leaves the
            caller's random state alone.
        closed_form: The answer by formula, where there is one.
        twin: The same function in JAX, with the question's values, where somebody wrote
            it; imports JAX only when called.
    """

    name: str
    origin: str
    use: str
    parameter: str
    sizes: tuple[int, int, int]
    tiny: int
    build: Callable[[int], Question]
    closed_form: Callable[[Question], Any] | None = None
    twin: Callable[[Question], Twin] | None = None


def seeded(build: Callable[[int], Question]) -> Callable[[int], Question]:
    """Fix what a builder draws, and leave the caller's random state alone."""

    @functools.wraps(build)
    def built(size: int) -> Question:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return build(size)

    return built
