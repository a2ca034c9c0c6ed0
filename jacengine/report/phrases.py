"""What sentences are made of: words, and names that are set apart from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain


class Name(str):
    """A part of a sentence that is the name of a strategy or a case."""

    __slots__ = ()


Sentence = tuple[str, ...]
"""Its parts in order; those that are names are `Name`s."""


def listed(names: Iterable[str]) -> Sentence:
    """List names: `a, b and c`."""
    return joined([(name,) for name in names])


def joined(items: Sequence[Sentence]) -> Sentence:
    """Join with commas, and `and` before the last."""
    between = [", "] * (len(items) - 2) + [" and "] * (len(items) > 1)
    pairs = zip(items, [*between, ""], strict=False)
    parts = chain.from_iterable((*item, separator) for item, separator in pairs)
    return tuple(part for part in parts if part)
