"""Jets: tensors with their first and their collapsed second-order coefficients.

    z(x + e v_k) = z + e t_k + e^2/2 c_k + ...,    s = sum_k c_k

A jet holds the primal z, the tangents t_k of all directions and the one sum s, which is
all that the next operator needs: for y = phi(z)

    y_t[k] = phi'(z) t_k,    y_s = phi'(z) s + sum_k phi''(z)[t_k, t_k].

Tangents may be stored for broadcasting: of size 1 along axes where they are constant. A
direction is most often the same for all samples, and stays so through layers that are
linear; its tangents are then stored once, `(K, 1, n)`, and cost a sample's share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Self

import torch
from torch import Tensor

from jacengine._torch_private import version_of, wrapper_tensor
from jacengine.errors import UnsupportedError

TaylorRule = Callable[..., Any]
"""What a function of torch computes on jets. It is called with the function's arguments
and returns `NotImplemented` for those that it does not support."""

Dispatch = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""Computes a function of torch on jets, given its arguments and its keywords."""


class LazyTangents:
    """Tangents that are computed when they are read: those of the last layer never are.

    Args:
        compute: Returns the tangents.
        constants: Tensors that it reads and the user could change before it runs.
    """

    __slots__ = ("_compute", "_constants", "_versions")

    def __init__(self, compute: Callable[[], Tensor], *constants: Tensor) -> None:
        self._compute = compute
        self._constants = constants
        self._versions = [version_of(constant) for constant in constants]

    def __call__(self) -> Tensor:
        """Compute the tangents.

        Raises:
            UnsupportedError: A constant has been written to since.
        """
        if self._versions != [version_of(constant) for constant in self._constants]:
            raise UnsupportedError(
                "A weight is changed in place after it was used, where second-order "
                "coefficients do not follow."
            )
        return self._compute()


class Jet(Tensor):
    """A primal, its tangents and its collapsed second-order coefficient.

    Attributes:
        primal: The value, of the jet's shape, dtype, device and layout.
        tangents: Broadcasts to `(K, *shape)`; computed when first read.
        second_order: Broadcasts to the shape; `None` is zero.
        dispatch: Computes functions of torch that are called on the jet.

    Raises:
        UnsupportedError: The primal is not real.
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
        """Wrap a primal and its coefficients."""
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
    shape = property(attrgetter("primal.shape"))  # pyright: ignore[reportAssignmentType]
    dtype = property(attrgetter("primal.dtype"))  # pyright: ignore[reportAssignmentType]
    device = property(attrgetter("primal.device"))  # pyright: ignore[reportAssignmentType]
    layout = property(attrgetter("primal.layout"))  # pyright: ignore[reportAssignmentType]

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
        tangents, shape = self.tangents, self.primal.shape
        if tangents.shape[1:] == shape:
            return tangents
        return tangents.expand(tangents.shape[0], *shape)

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
        """Refuse an operator that was not called through a function of torch."""
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


def second_order_of(output: Tensor) -> Tensor:
    """Return the second-order coefficient in its full shape; zeros of a constant."""
    second = output.dense_second_order() if isinstance(output, Jet) else None
    if second is None:
        return torch.zeros_like(primal_of(output))
    return second.contiguous()


def primal_of(operand: Any) -> Any:
    """Return the primal of a jet; of anything else, itself."""
    return operand.primal if isinstance(operand, Jet) else operand


def expand_trailing(tangents: Tensor, shape: Sequence[int], count: int) -> Tensor:
    """Return tangents as a view that is of full size in the last `count` axes."""
    kept = tangents.dim() - count
    return tangents.expand(*tangents.shape[:kept], *shape[len(shape) - count :])


def unexpand(tangents: Tensor) -> Tensor:
    """Return a view of tangents, of size 1 along the axes of stride 0."""
    for axis, (size, stride) in enumerate(
        zip(tangents.shape, tangents.stride(), strict=True)
    ):
        if axis and stride == 0 and size > 1:
            tangents = tangents.narrow(axis, 0, 1)
    return tangents


def align_rank(tangents: Tensor, rank: int) -> Tensor:
    """Insert axes after the first, so that tangents broadcast with those of a rank."""
    missing = rank + 1 - tangents.dim()
    if not missing:
        return tangents
    head, *rest = tangents.shape
    return tangents.reshape(head, *[1] * missing, *rest)


def add_coefficients(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """Add two coefficients, of which `None` is zero."""
    if a is None or b is None:
        return b if a is None else a
    return a + b
