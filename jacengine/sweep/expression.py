"""Choosing by an expression, as pytest's `-k`: `mlp and not (large or conv)`."""

from __future__ import annotations

import re
from collections.abc import Callable

from jacengine.errors import ArgumentError

Matcher = Callable[[str], bool]
_TOKEN = re.compile(r"\s*(\(|\)|[^\s()]+)")
_WORDS = frozenset({"and", "or", "not", "(", ")"})


def compile_expression(text: str) -> Matcher:
    """Read an expression of words, `and`, `or`, `not` and parentheses.

    Args:
        text: The expression; a word matches a name that contains it, in any case.

    Returns:
        What tells whether a name matches.

    Raises:
        ArgumentError: It cannot be read.
    """
    reader = _Reader(text)
    matcher = reader.alternatives()
    if reader.tokens:
        raise reader.refuse(f"{reader.tokens[0]!r} is one too many")
    return matcher


class _Reader:
    """Takes an expression apart, from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.tokens: list[str] = _TOKEN.findall(text)

    def refuse(self, reason: str) -> ArgumentError:
        return ArgumentError(
            f"The expression {self._text!r} cannot be read: {reason}. Write names "
            "joined by 'and', 'or', 'not' and parentheses."
        )

    def alternatives(self) -> Matcher:
        parts = [self._all()]
        while self._take("or"):
            parts.append(self._all())
        return lambda name: any(part(name) for part in parts)

    def _all(self) -> Matcher:
        parts = [self._one()]
        while self._take("and"):
            parts.append(self._one())
        return lambda name: all(part(name) for part in parts)

    def _one(self) -> Matcher:
        if self._take("not"):
            inner = self._one()
            return lambda name: not inner(name)
        if self._take("("):
            inner = self.alternatives()
            if not self._take(")"):
                raise self.refuse("a ')' is missing")
            return inner
        if not self.tokens:
            raise self.refuse("a name is missing at its end")
        word = self.tokens.pop(0)
        if word in _WORDS:
            raise self.refuse(f"{word!r} stands where a name belongs")
        return lambda name: word.lower() in name.lower()

    def _take(self, token: str) -> bool:
        if self.tokens and self.tokens[0] == token:
            self.tokens.pop(0)
            return True
        return False
