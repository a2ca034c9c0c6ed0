"""A complex function as a real one, which the engine differentiates in its place.

With `complex="as_real"` complex tensors are viewed as pairs of real numbers, inputs and
outputs alike. With `complex="holomorphic"` the inputs are the real parts, the imaginary
parts are side inputs, and the outputs are the pair of all real and all imaginary parts:
the derivative by the real part is the complex derivative of a holomorphic function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from jacengine import pytrees
from jacengine._torch_private import (
    is_view_of,
    parameter_of,
    put_parameter,
    with_parameters,
)
from jacengine.errors import OutputTypeError, PlanMismatchError
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.call_spec import Wrt
from jacengine.problem.problem import Options

ORIGINAL, IMAGINARY = "_jacengine_original", "_jacengine_imaginary"
"""Where a `RealModule` has the module, and the imaginary parts of its parameters."""


@dataclass(frozen=True)
class RealView:
    """How a call with complex tensors is written as one with real tensors.

    Attributes:
        holomorphic: Whether the derivative by the real parts is wanted.
        has_aux: Whether the function returns `(out, aux)`.
        count: The number of positional arguments ...
        leaf_count: ... and of their leaves.
        viewed: The argument leaves that are passed as pairs, `(..., 2)`.
        split: The argument leaves that are passed as their real parts, while the
            imaginary parts follow in further arguments, ...
        owners: ... one for each of these arguments.
        wrt: What to differentiate ...
        batch_dim: ... and where samples are, of the complex function.
    """

    holomorphic: bool
    has_aux: bool
    count: int
    leaf_count: int
    viewed: tuple[int, ...]
    split: tuple[int, ...]
    owners: tuple[int, ...]
    wrt: Wrt
    batch_dim: BatchDim

    def to_real(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Write complex arguments as real ones, connected to the graph they are in.

        Raises:
            PlanMismatchError: Other arguments are complex than before.
        """
        leaves, structure = pytrees.flatten_call(args, kwargs)
        found = {i for i, leaf in enumerate(leaves) if is_complex(leaf)}
        if len(args) != self.count or found != {*self.viewed, *self.split}:
            raise PlanMismatchError(
                f"The call has {len(args)} positional arguments, of whose leaves "
                f"{sorted(found)} are complex; planned: {self.count} arguments, leaves "
                f"{sorted((*self.viewed, *self.split))}. Make a plan for the new ones "
                "with jacengine.plan(...), or call jacengine.auto(...)."
            )
        imaginary: list[Tensor] = []
        with torch.inference_mode(mode=False), torch.enable_grad():
            for place in self.viewed:
                leaves[place] = as_pairs(leaves[place])
            for place in self.split:
                leaves[place], part = as_pairs(leaves[place]).unbind(-1)
                imaginary.append(part)
        real_args, real_kwargs = structure.unflatten(leaves)
        sizes = [len(pytrees.flatten(argument)[0]) for argument in args]
        further: list[tuple[Tensor, ...]] = []
        for owner in self.owners:
            start = sum(sizes[:owner])
            inside = range(start, start + sizes[owner])
            chosen = [
                part
                for place, part in zip(self.split, imaginary, strict=True)
                if place in inside
            ]
            further.append(tuple(chosen))
        return (*real_args, *further), real_kwargs

    def to_complex(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of the complex function."""
        leaves, structure = pytrees.flatten_call(args[: self.count], kwargs)
        imaginary = [part for further in args[self.count :] for part in further]
        for place in self.viewed:
            leaves[place] = as_complex(leaves[place])
        for place, part in zip(self.split, imaginary, strict=True):
            leaves[place] = torch.complex(leaves[place], part)
        complex_args, complex_kwargs = structure.unflatten(leaves)
        return complex_args, complex_kwargs

    @property
    def imaginary_places(self) -> range:
        """Where the imaginary part of each leaf of `split` is among the real leaves."""
        return range(self.leaf_count, self.leaf_count + len(self.split))

    def outputs(self, returned: Any) -> Any:
        """Write what the complex function returned as real tensors.

        Raises:
            OutputTypeError: A holomorphic function returned a real tensor.
        """
        if not self.has_aux:
            return self._of_outputs(returned)
        if not isinstance(returned, tuple) or len(returned) != 2:
            return returned  # refused by the engine, in its own words
        out, aux = returned
        return self._of_outputs(out), aux

    def _of_outputs(self, returned: Any) -> Any:
        leaves, structure = pytrees.flatten(returned)
        if not self.holomorphic:
            return structure.unflatten([as_pairs(leaf) for leaf in leaves])
        for leaf in leaves:
            if isinstance(leaf, Tensor) and not leaf.is_complex():
                raise OutputTypeError(
                    f"complex='holomorphic': the function returned a tensor of "
                    f"{leaf.dtype}, expected a complex one. A real function of complex "
                    "numbers is holomorphic only where it is constant: pass "
                    "complex='as_real'."
                )
        if not all(map(is_complex, leaves)):
            return returned  # refused by the engine, in its own words
        pairs = list(map(as_pairs, leaves))
        return tuple(
            structure.unflatten([pair[..., part] for pair in pairs]) for part in (0, 1)
        )


class RealFunction:
    """A real function in the place of a complex one; its inputs are arguments.

    Attributes:
        fn: The complex function.
        view: How calls are written.
    """

    def __init__(self, fn: Callable[..., Any], view: RealView) -> None:
        self.fn = fn
        self.view = view

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the complex function."""
        complex_args, complex_kwargs = self.view.to_complex(args, kwargs)
        return self.view.outputs(self.fn(*complex_args, **complex_kwargs))


class RealModule(nn.Module):
    """A module with real parameters in the place of one that may have complex ones.

    Real parameters are shared, complex ones are views of the memory of the original
    ones, under the same names. The original module is a submodule.

    Attributes:
        view: How calls are written.
        names: The parameters that are differentiated.
        complex_names: Those of them that are complex.
    """

    def __init__(self, module: nn.Module, view: RealView, names: Sequence[str]) -> None:
        super().__init__()
        self.view = view
        self.names = tuple(names)
        self.add_module(ORIGINAL, module)
        self.complex_names: tuple[str, ...] = ()
        self._take_views()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the original module: the views are taken anew."""
        return RealModule, (self.original, self.view, self.names)

    @property
    def original(self) -> nn.Module:
        """The module that this one stands for."""
        return self.get_submodule(ORIGINAL)

    def refresh(self) -> None:
        """View the parameters of the original module anew, if they are others now."""
        if not all(map(self._is_current, self.names)):
            self._take_views()

    def _is_current(self, name: str) -> bool:
        own, parameter = parameter_of(self, name), parameter_of(self.original, name)
        return own is parameter or is_view_of(own, parameter)

    def _take_views(self) -> None:
        original, complex_names = self.original, list[str]()
        views: dict[int, tuple[Tensor, Tensor]] = {}
        with torch.inference_mode(mode=False), torch.enable_grad():
            for name in self.names:
                parameter = parameter_of(original, name)
                if not parameter.is_complex():
                    put_parameter(self, name, parameter)
                    continue
                complex_names.append(name)
                if id(parameter) not in views:  # tied ones stay tied
                    views[id(parameter)] = self._parts(parameter)
                own, imaginary = views[id(parameter)]
                put_parameter(self, name, own)
                if self.view.holomorphic:
                    put_parameter(self, f"{IMAGINARY}.{name}", imaginary)
        self.complex_names = tuple(complex_names)

    def _parts(self, parameter: Tensor) -> tuple[Tensor, Tensor]:
        if self.view.holomorphic:
            return parameter.real, parameter.imag
        return torch.view_as_real(parameter), parameter

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the original module, with complex numbers in the place of the pairs."""
        values = {name: self._value(name) for name in self.complex_names}
        module = with_parameters(self.original, values) if values else self.original
        complex_args, complex_kwargs = self.view.to_complex(args, kwargs)
        return self.view.outputs(module(*complex_args, **complex_kwargs))

    def _value(self, name: str) -> Tensor:
        own = parameter_of(self, name)
        if self.view.holomorphic:
            return torch.complex(own, parameter_of(self, f"{IMAGINARY}.{name}"))
        return as_complex(own)


def real_arguments(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """Write a call of a complex function anew, whose parameters may be others now.

    Args:
        fn: The real function in its place; for any other the arguments are as given.
        args: The complex function's positional arguments.
        kwargs: Its keyword arguments.

    Raises:
        PlanMismatchError: Other arguments are complex than before.
    """
    if isinstance(fn, RealModule):
        fn.refresh()
    if isinstance(fn, RealFunction | RealModule):
        return fn.view.to_real(args, kwargs)
    return args, kwargs


def stated_options(fn: Callable[..., Any], options: Options) -> Options:
    """Return the options as they are stated of a complex function.

    Args:
        fn: The real function in its place; for any other the options are as given.
        options: The options that go with the real function.
    """
    if isinstance(fn, RealFunction | RealModule):
        return replace(options, wrt=fn.view.wrt, batch_dim=fn.view.batch_dim)
    return options


def is_complex(leaf: object) -> bool:
    """Tell whether a leaf is a complex tensor."""
    return isinstance(leaf, Tensor) and leaf.is_complex()


def as_pairs(leaf: Any) -> Any:
    """Return a complex tensor as pairs of real numbers, `(..., 2)`; others as is."""
    if not is_complex(leaf):
        return leaf
    return torch.view_as_real(leaf.resolve_conj())


def as_complex(pairs: Tensor) -> Tensor:
    """Return pairs of real numbers as complex ones, whatever their strides."""
    return torch.view_as_complex(pairs.contiguous())
