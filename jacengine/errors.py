"""Every error that jacengine raises, each also a subclass of the fitting builtin.

A message says what was got, what was expected, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from types import BuiltinFunctionType


class JacengineError(Exception):
    """Base of all errors that jacengine raises on purpose."""


class ArgumentError(JacengineError, ValueError):
    """An option of a call has a value that cannot be used."""


class InputTypeError(JacengineError, TypeError):
    """An input to differentiate is not a real floating-point tensor."""


class OutputTypeError(JacengineError, TypeError):
    """The function returned something that has no Jacobian."""


class MutatedInputError(JacengineError, ValueError):
    """The function changes one of its arguments in place."""


class CoupledSamplesError(JacengineError, ValueError):
    """`batch_dim` was given, but one sample's output depends on another sample."""


class RandomnessError(JacengineError, RuntimeError):
    """The function draws random numbers and `randomness` is "error"."""


class UnknownStrategyError(JacengineError, LookupError):
    """No strategy of this name is registered."""


class DuplicateStrategyError(JacengineError, ValueError):
    """A strategy of this name is registered already."""


class UnsupportedError(JacengineError, RuntimeError):
    """The chosen strategy cannot compute this Jacobian."""


class PatternError(JacengineError, RuntimeError):
    """A Jacobian has a nonzero outside of its sparsity pattern."""


class StrategyError(JacengineError, RuntimeError):
    """A strategy broke its contract (wrong shape, dtype or count of products)."""


class NoStrategyError(JacengineError, RuntimeError):
    """No candidate computes this Jacobian; the message lists each with its reason."""


class MemoryBudgetError(JacengineError, MemoryError):
    """Nothing fits into the memory budget, or the result alone exceeds it."""


class ShardError(JacengineError, RuntimeError):
    """A rank of a mesh failed, or is missing; raised on all ranks.

    Attributes:
        rank: The rank in the mesh; `None` if nobody knows which.
        reason: What happened there.
    """

    def __init__(self, rank: int | None, reason: str) -> None:
        """Say which rank failed, and why."""
        self.rank, self.reason = rank, reason
        who = "A rank of the mesh" if rank is None else f"Rank {rank} of the mesh"
        super().__init__(f"{who} failed: {reason}")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the two arguments instead of the message."""
        return type(self), (self.rank, self.reason)


class PlanMismatchError(JacengineError, ValueError):
    """A plan was called with arguments of another signature."""


class MissingExtraError(JacengineError, ImportError):
    """An optional dependency is not installed; the message says how to install it."""


def unknown_choice(name: str, value: object, known: Iterable[str]) -> str:
    """Say that an option has none of the values that are known; offer the nearest."""
    listed = tuple(known)
    near = nearest(value, listed) if isinstance(value, str) else ""
    return f"{name}={value!r}: expected one of {', '.join(map(repr, listed))}.{near}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean ...?" for the closest known word, or nothing."""
    close = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def kind_of(value: object) -> str:
    """Name what a value is, with its article: "a float", "an int", "None"."""
    if value is None:
        return "None"
    if _is_array(value):
        return "a NumPy array"
    if isinstance(value, BuiltinFunctionType):
        return "a function"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeioAEIOU' else 'a'} {kind}"


def to_tensor_advice(value: object) -> str:
    """Return " Convert it with ..." for what a tensor can be made of, or nothing."""
    if _is_array(value):
        return " Convert it with torch.from_numpy."
    if isinstance(value, int | float | list | tuple):
        return " Convert it with torch.tensor."
    return ""


def container_advice(value: object) -> str:
    """Return what to do with a container that tensors are not looked for in."""
    if not isinstance(value, Mapping):
        return ""
    return (
        f" Tensors are not looked for in a {type(value).__name__}: pass dict(...) of "
        "it, or register the class with torch.utils._pytree.register_pytree_node."
    )


def _is_array(value: object) -> bool:
    import numpy as np  # noqa: PLC0415 - takes long, and few errors need it

    return isinstance(value, np.ndarray)
