"""A tensor that carries its first and its collapsed second derivatives along.

    z(x + e v_k) = z + e t_k + e^2/2 c_k + ...,    l = sum_k c_k

A jet holds the value z, the tangents t_k of all directions and the one sum l, which is
all that the next operator needs: for y = phi(z)

    y_t[k] = phi'(z) t_k,    y_l = phi'(z) l + sum_k phi''(z)[t_k, t_k].

Tangents may be thin: of size 1 along axes where they are constant, as are those of all
samples until the first operator that tells samples apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import torch
from torch import Tensor

from jacengine.errors import UnsupportedError
from jacengine.program.taylor.broadcast_tangents import expanded, thinned
from jacengine.program.taylor.lazy import Deferred

Dispatch = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""What a pass does with a function of torch, its arguments and its keywords."""


class Jet(Tensor):
    """A value, its tangents and its collapsed second-order coefficient.

    Attributes:
        primal: The value, of the jet's shape.
        tangents: Shape `(K, *shape)`, or thin; computed when first asked for.
        curvature: Broadcasts to the shape; `None` is zero.
        dispatch: What is done with functions of torch that are given the jet.
    """

    __slots__ = ("_tangents", "curvature", "dispatch", "primal")

    primal: Tensor
    _tangents: Tensor | Deferred
    curvature: Tensor | None
    dispatch: Dispatch

    def __new__(
        cls,
        primal: Tensor,
        tangents: Tensor | Deferred,
        curvature: Tensor | None,
        dispatch: Dispatch,
    ) -> Self:
        """Wrap a value and its derivatives.

        Raises:
            UnsupportedError: The value is complex.
        """
        dtype = primal.dtype
        if not dtype.is_floating_point:
            raise UnsupportedError(f"Jets are real; expected no {dtype}.")
        jet: Self = Tensor._make_wrapper_subclass(  # pyright: ignore[reportPrivateUsage]
            cls, primal.shape, dtype=dtype, device=primal.device
        )
        jet.primal = primal
        jet._tangents = tangents
        if curvature is not None and curvature.dtype is not dtype:
            curvature = curvature.to(dtype)
        jet.curvature = curvature
        jet.dispatch = dispatch
        return jet

    @property
    def tangents(self) -> Tensor:
        """The tangents, `(K, *shape)` or thin."""
        found = self._tangents
        if isinstance(found, Deferred):
            found = found()
        if found.dtype is not self.primal.dtype:
            found = found.to(self.primal.dtype)
        self._tangents = found
        return found

    # Asked for often, and known: these need not go the way of other functions.

    @property
    def shape(self) -> torch.Size:  # type: ignore[override]
        """The value's."""
        return self.primal.shape

    @property
    def dtype(self) -> torch.dtype:  # type: ignore[override]
        """The value's."""
        return self.primal.dtype

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """The value's."""
        return self.primal.device

    @property
    def layout(self) -> torch.layout:  # type: ignore[override]
        """The value's."""
        return self.primal.layout

    def becomes(
        self, primal: Tensor, tangents: Tensor | Deferred, curvature: Tensor | None
    ) -> Jet:
        """Return a jet of the same pass."""
        return Jet(primal, tangents, curvature, self.dispatch)

    def dense(self) -> Tensor:
        """Return the tangents in their full shape, as a view."""
        return expanded(self.tangents, self.primal.shape)

    def dense_curvature(self) -> Tensor | None:
        """Return the second-order coefficient in its full shape, as a view."""
        curvature = self.curvature
        return None if curvature is None else curvature.expand(self.primal.shape)

    def moved(self, primal: Tensor, move: Callable[[Tensor], Tensor]) -> Jet:
        """Return what an operator that is linear makes of the jet.

        Args:
            primal: The operator's value, which may have a constant on top.
            move: The operator on tensors with one more axis in front.
        """
        curvature = self.dense_curvature()
        if curvature is not None:
            curvature = move(curvature.unsqueeze(0)).squeeze(0)
        return self.becomes(primal, self.moved_tangents(move), curvature)

    def moved_tangents(self, move: Callable[[Tensor], Tensor]) -> Tensor:
        """Return what an operator that is linear makes of the tangents."""
        if self.tangents.shape[1:] == self.primal.shape:
            return move(self.tangents)
        return thinned(move(self.dense()))

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Hand a function of torch over to the pass."""
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
        """Refuse an operator that was reached past the functions of torch.

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
