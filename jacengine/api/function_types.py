"""Functions by what they return, as far as a type checker knows.

Overloads of `auto` and the like tell what comes back by them, in this order:

1. `UntypedModule`: nothing is known.
2. `TensorModule`: one output, and parameters by name.
3. `UntypedFunction` and every other module: nothing is known.
4. `TensorFunction`: one output.

Modules come before functions, because `nn.Module.__call__` returns `Any`, whatever
`forward` returns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

from torch import Tensor, nn


class _Unknown:
    """What no function returns: only `Any` is taken for it."""


class Undetermined(int):
    """A `wrt=` that only `Any` is taken for, such as an option in a `dict[str, Any]`.

    Its overload is the first, so that such options promise nothing.
    """


class UntypedModule(Protocol):
    """A module whose `forward` has no annotation, such as an `nn.Module` as such."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run hooks and `forward`."""
        ...

    def forward(self, *args: Any, **kwargs: Any) -> _Unknown:
        """Compute what is not known."""
        ...


class TensorModule(Protocol):
    """A module whose `forward` is annotated to return one tensor."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run hooks and `forward`."""
        ...

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Compute one tensor."""
        ...


Function = Callable[..., Any]
UntypedFunction = nn.Module | Callable[..., _Unknown]
"""What returns `Any`, and modules that are none of those above."""
TensorFunction = Callable[..., Tensor]

Leaf = Tensor | float | str | None
"""An argument that is no container."""
ByName = Literal["params"] | list[str]
"""The `wrt=` of parameters."""
SparseLayout = Literal["coo", "csr", "values"]
"""Layouts that join all outputs and all inputs."""
Flat = Literal["flat"]
"""The layout that joins all inputs."""
