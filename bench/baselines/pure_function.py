"""A derivative in the form that transforms need: a pure function of the primal."""

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
from jacengine.problem.quantity import Quantity


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

            def with_params(primal: dict[str, Tensor], *args: Any) -> Tensor:
                return cast("Tensor", functional_call(module, primal, args))

            params = {name: p.detach() for name, p in trainable(module).items()}
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


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that gradients are computed by."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def select_part(hessian: Callable[..., Any], quantity: Quantity) -> Callable[..., Any]:
    """Select the diagonal or the trace from whole Hessians, of tensors or JAX arrays.

    Args:
        hessian: Maps a point, and anything else, to the Hessian there: `(*out, *in,
            *in)`, or for a dict of parameters `(*out, *p, *q)` by both names.
        quantity: The part; a whole Hessian, or a Jacobian, is returned as it is.
    """
    if quantity in {"jacobian", "hessian"}:
        return hessian

    def part_of(H: Any, primal: Any) -> Any:
        """Return the diagonal `(*out, *in)` of a block, or its trace `(*out)`."""
        out, size = H.shape[: H.ndim - 2 * primal.ndim], math.prod(primal.shape)
        diagonal = H.reshape(*out, size, size).diagonal(0, -2, -1)
        if quantity == "laplacian":
            return diagonal.sum(-1)
        return diagonal.reshape(*out, *primal.shape)

    def part(primal: Any, *rest: Any) -> Any:
        H = hessian(primal, *rest)
        if not isinstance(primal, dict):
            return part_of(H, primal)
        named = cast("dict[str, Any]", primal)
        blocks = {name: part_of(H[name][name], x) for name, x in named.items()}
        return sum(blocks.values()) if quantity == "laplacian" else blocks

    return part
