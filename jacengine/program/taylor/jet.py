"""Jets: tensors with their first and their collapsed second-order coefficients.

    z(x + e v_k) = z + e t_k + e^2/2 c_k + ...,    s = sum_k c_k

A jet holds the primal z, the tangents t_k of all directions and the one sum s, which is
all that the next operator needs: for y = phi(z)

    y_t[k] = phi'(z) t_k,    y_s = phi'(z) s + sum_k phi''(z)[t_k, t_k].

Tangents may be stored for broadcasting: of size 1 along axes where they are constant,
as those of all samples are until the first operator that treats samples differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import torch
from torch import Tensor

from jacengine._torch_private import wrapper_tensor
from jacengine.errors import UnsupportedError
from jacengine.program.taylor.broadcast_tangents import expand_tangents, unexpand
from jacengine.program.taylor.lazy import LazyTangents

TaylorRule = Callable[..., Any]
"""What a function of torch computes on jets. It is called with the function's arguments
and returns `NotImplemented` for those that it does not support."""

Dispatch = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""Computes a function of torch on jets, given its arguments and its keywords."""


class Jet(Tensor):
    """A primal, its tangents and its collapsed second-order coefficient.

    Attributes:
        primal: The value, of the jet's shape.
        tangents: Broadcasts to `(K, *shape)`; computed when first read.
        second_order: Broadcasts to the shape; `None` is zero.
        dispatch: Computes functions of torch that are called on the jet.
    """

    __slots__ = ("_tangents", "dispatch", "primal", "second_order")

    primal: Tensor
    _tangents: Tensor | LazyTangents
    second_order: Tensor | None
    dispatch: Dispatch

    def __new__(
        cls,
        primal: Tensor,
        tangents: Tensor | LazyTangents,
        second_order: Tensor | None,
        dispatch: Dispatch,
    ) -> Self:
        """Wrap a primal and its coefficients.

        Raises:
            UnsupportedError: The primal is not real.
        """
        dtype = primal.dtype
        if not dtype.is_floating_point:
            raise UnsupportedError(f"Jets are real; expected no {dtype}.")
        jet = wrapper_tensor(cls, primal)
        jet.primal = primal
        jet._tangents = tangents
        if second_order is not None and second_order.dtype is not dtype:
            second_order = second_order.to(dtype)
        jet.second_order = second_order
        jet.dispatch = dispatch
        return jet

    @property
    def tangents(self) -> Tensor:
        """The tangents, which broadcast to `(K, *shape)`."""
        found = self._tangents
        if isinstance(found, LazyTangents):
            found = found()
        if found.dtype is not self.primal.dtype:
            found = found.to(self.primal.dtype)
        self._tangents = found
        return found

    # Read often, and known: these need not be dispatched as other functions are.

    @property
    def shape(self) -> torch.Size:  # type: ignore[override]
        """The primal's shape."""
        return self.primal.shape

    @property
    def dtype(self) -> torch.dtype:  # type: ignore[override]
        """The primal's data type."""
        return self.primal.dtype

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """The primal's device."""
        return self.primal.device

    @property
    def layout(self) -> torch.layout:  # type: ignore[override]
        """The primal's layout."""
        return self.primal.layout

    def with_coefficients(
        self,
        primal: Tensor,
        tangents: Tensor | LazyTangents,
        second_order: Tensor | None,
    ) -> Jet:
        """Return a jet of the same pass."""
        return Jet(primal, tangents, second_order, self.dispatch)

    def dense_tangents(self) -> Tensor:
        """Return the tangents in their full shape, as a view."""
        return expand_tangents(self.tangents, self.primal.shape)

    def dense_second_order(self) -> Tensor | None:
        """Return the second-order coefficient in its full shape, as a view."""
        second = self.second_order
        return None if second is None else second.expand(self.primal.shape)

    def apply_linear(self, primal: Tensor, apply: Callable[[Tensor], Tensor]) -> Jet:
        """Apply a linear operator.

        Args:
            primal: The operator's value, to which it may add a constant.
            apply: The operator on tensors with one more axis in front.
        """
        second = self.dense_second_order()
        if second is not None:
            second = apply(second.unsqueeze(0)).squeeze(0)
        return self.with_coefficients(primal, self.apply_to_tangents(apply), second)

    def apply_to_tangents(self, apply: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply a linear operator to the tangents alone."""
        if self.tangents.shape[1:] == self.primal.shape:
            return apply(self.tangents)
        return unexpand(apply(self.dense_tangents()))

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Dispatch a function of torch to the pass."""
        first = args[0] if args else None
        if not isinstance(first, Jet):
            first = next(jets_in((args, kwargs)))
        return first.dispatch(func, args, dict(kwargs) if kwargs else {})

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Refuse an operator that was not called through a function of torch.

        Raises:
            UnsupportedError: Always.
        """
        raise UnsupportedError(
            f"{func} was called from compiled code, a transform or a custom autograd "
            "function, where second-order coefficients do not follow."
        )


def jets_in(value: Any) -> Iterator[Jet]:
    """Yield the jets in nested tuples, lists and dicts."""
    if isinstance(value, Jet):
        yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from jets_in(each)
    elif isinstance(value, dict):
        yield from jets_in(tuple(value.values()))


def primals_of(value: Any) -> Any:
    """Return nested tuples, lists and dicts with jets replaced by their primals."""
    if isinstance(value, Jet):
        return value.primal
    if isinstance(value, (tuple, list)):
        each = [primals_of(one) for one in value]
        return each if isinstance(value, list) else tuple(each)
    if isinstance(value, dict):
        return {name: primals_of(one) for name, one in value.items()}
    return value


def primal_of(operand: Any) -> Any:
    """Return the primal of a jet; of anything else, itself."""
    return operand.primal if isinstance(operand, Jet) else operand
