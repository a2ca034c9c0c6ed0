"""Tangents that are computed when they are read: those of the last layer never are."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from jacengine._torch_private import version_of
from jacengine.errors import UnsupportedError


class LazyTangents:
    """A computation of tangents that has not been run."""

    __slots__ = ("_compute", "_constants", "_versions")

    def __init__(self, compute: Callable[[], Tensor], *constants: Tensor) -> None:
        """Store a computation.

        Args:
            compute: Returns the tangents.
            constants: Tensors that it reads and the user could change before it runs.
        """
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
