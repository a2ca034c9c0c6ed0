"""A derivative in the form that `torch.func` needs: a pure function of the primal."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from jacengine.bench.workload import DerivativeSpec


@dataclass(frozen=True)
class PureFunction:
    """A function of the primal, and its other arguments.

    Attributes:
        fn: Maps `primal` and `rest` to the output; samples are along axis 0.
        primal: The detached argument, or dict of parameters, to differentiate by.
        rest: All other arguments.
        batch_size: The number of independent samples, `None` for a single point.
        by_params: Whether `primal` holds parameters, which samples share.
    """

    fn: Callable[..., Tensor]
    primal: Any
    rest: tuple[Any, ...]
    batch_size: int | None
    by_params: bool

    @classmethod
    def of(cls, spec: DerivativeSpec) -> PureFunction:
        """Convert a spec; everything but the primal records no graph."""
        batch_size = None if spec.batch_dim is None else len(spec.args[0])
        fn = spec.fn
        if spec.wrt == "params":
            module = cast("nn.Module", fn)
            named = module.named_parameters()
            params = {name: p.detach() for name, p in named if p.requires_grad}

            def with_params(primal: dict[str, Tensor], *args: Any) -> Tensor:
                return cast("Tensor", functional_call(module, primal, args))

            return cls(with_params, params, spec.args, batch_size, by_params=True)
        index = cast("int", spec.wrt)
        if isinstance(fn, nn.Module):
            fn = copy.deepcopy(fn).requires_grad_(requires_grad=False)

        def with_input(primal: Tensor, *rest: Any) -> Tensor:
            return cast("Tensor", fn(*rest[:index], primal, *rest[index:]))

        rest = (*spec.args[:index], *spec.args[index + 1 :])
        return cls(with_input, spec.args[index], rest, batch_size, by_params=False)

    def of_primal(self, primal: Any) -> Tensor:
        """Call the function with the other arguments fixed."""
        return self.fn(primal, *self.rest)

    def one_sample(self, primal: Any, *rest: Any) -> Tensor:
        """Call the function for one sample, or for the single point."""
        if self.batch_size is None:
            return self.fn(primal, *rest)
        primal = primal if self.by_params else primal.unsqueeze(0)
        return self.fn(primal, *(x.unsqueeze(0) for x in rest)).squeeze(0)

    def samples(self) -> Iterator[tuple[Any, ...]]:
        """Yield the arguments of `one_sample`, sample by sample."""
        for b in range(self.batch_size or 0):
            primal = self.primal if self.by_params else self.primal[b]
            yield (primal, *(x[b] for x in self.rest))

    @functools.cached_property
    def out_shape(self) -> torch.Size:
        """The shape of the output, of one sample if there are samples."""
        with torch.no_grad():
            shape = self.of_primal(self.primal).shape
        return shape if self.batch_size is None else shape[1:]

    @functools.cached_property
    def in_size(self) -> int:
        """The number of entries of the primal, of one sample unless they share it."""
        if self.by_params:
            return sum(p.numel() for p in self.primal.values())
        shape = self.primal.shape
        return math.prod(shape if self.batch_size is None else shape[1:])

    @property
    def in_dims(self) -> tuple[int | None, ...]:
        """The sample axis of `primal` and of each of `rest`, as for `vmap`."""
        return (None if self.by_params else 0, *(0 for _ in self.rest))

    def summed(self, primal: Any) -> Tensor:
        """Sum the outputs over the samples.

        The gradient of this sum by the input of a sample is that of the sample alone:
        the usual method for the Jacobian of a batch in reverse mode.
        """
        return self.of_primal(primal).sum(0)

    def shifted(self, offset: Tensor) -> Tensor:
        """Return the outputs with one offset added to the input of every sample.

        Its derivative at zero is that of each sample: the same in forward mode.
        """
        return self.of_primal(self.primal + offset)
