"""A question as `torch.func` wants it: a pure function of what is differentiated."""

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

from jacengine.bench.workload import Question


@dataclass(frozen=True)
class Varied:
    """A function of what is differentiated, and everything else.

    Attributes:
        fn: Maps `value` and `rest` to the output, samples along axis 0 if there are
            any.
        value: What to differentiate: an argument, or a dict of parameters. Detached.
        rest: All other arguments.
        samples: How many independent samples there are, `None` if it is one point.
        by_params: Whether `value` is parameters, which samples share.
    """

    fn: Callable[..., Tensor]
    value: Any
    rest: tuple[Any, ...]
    samples: int | None
    by_params: bool

    @classmethod
    def of(cls, question: Question) -> Varied:
        """Take a question apart; what is not differentiated records no graph."""
        samples = None if question.batch_dim is None else len(question.args[0])
        if question.wrt == "params":
            module = cast("nn.Module", question.fn)
            params = {
                name: p.detach()
                for name, p in module.named_parameters()
                if p.requires_grad
            }

            def with_params(value: dict[str, Tensor], *args: Any) -> Tensor:
                output: Tensor = functional_call(module, value, args)
                return output

            return cls(with_params, params, question.args, samples, by_params=True)
        index = cast("int", question.wrt)
        fn = question.fn
        if isinstance(fn, nn.Module):
            fn = copy.deepcopy(fn).requires_grad_(requires_grad=False)

        def with_input(value: Tensor, *rest: Any) -> Tensor:
            output: Tensor = fn(*rest[:index], value, *rest[index:])
            return output

        rest = (*question.args[:index], *question.args[index + 1 :])
        return cls(with_input, question.args[index], rest, samples, by_params=False)

    def one(self, value: Any, *rest: Any) -> Tensor:
        """Call the function for one sample; the batch axis is put on and off."""
        alone = value if self.by_params else value.unsqueeze(0)
        return self.fn(alone, *(x.unsqueeze(0) for x in rest)).squeeze(0)

    def apart(self) -> Iterator[tuple[Any, ...]]:
        """Yield what `one` takes, sample by sample."""
        for b in range(self.samples or 0):
            value = self.value if self.by_params else self.value[b]
            yield (value, *(x[b] for x in self.rest))

    @functools.cached_property
    def out_shape(self) -> torch.Size:
        """The shape of the output, of one sample if there are samples."""
        with torch.no_grad():
            shape = self.fn(self.value, *self.rest).shape
        return shape if self.samples is None else shape[1:]

    @functools.cached_property
    def in_size(self) -> int:
        """How many numbers are varied, of one sample if they are its own."""
        if self.by_params:
            return sum(p.numel() for p in self.value.values())
        shape = self.value.shape
        return math.prod(shape if self.samples is None else shape[1:])

    @property
    def axes(self) -> tuple[int | None, ...]:
        """The axis of the samples in `value` and in each of `rest`."""
        return (None if self.by_params else 0, *(0 for _ in self.rest))

    def summed(self, value: Any) -> Tensor:
        """Sum the outputs over the samples.

        The gradient of this sum by the input of a sample is that sample's own: the
        usual way to a batch's Jacobian in reverse mode.
        """
        return self.fn(value, *self.rest).sum(0)

    def shifted(self, offset: Tensor) -> Tensor:
        """Return the outputs with one offset added to the input of every sample.

        The derivative by the offset is each sample's own: the same in forward mode.
        """
        return self.fn(self.value + offset, *self.rest)

    def no_offset(self) -> Tensor:
        """Return the point at which to differentiate `shifted`."""
        return torch.zeros_like(self.value[0])
