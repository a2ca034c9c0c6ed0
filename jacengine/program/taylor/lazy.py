"""Tangents that nobody has asked for yet: those of the last layer nobody ever does."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from jacengine._torch_private import version_of
from jacengine.errors import UnsupportedError


class Deferred:
    """What computes tangents when they are asked for."""

    __slots__ = ("_compute", "_constants", "_versions")

    def __init__(self, compute: Callable[[], Tensor], *constants: Tensor) -> None:
        """Defer a computation.

        Args:
            compute: Returns the tangents.
            constants: What it reads and the user could change before it runs.
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
