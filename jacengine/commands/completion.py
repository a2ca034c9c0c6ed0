"""Types of option values that are names: completed by the shell, with suggestions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import click
from click.shell_completion import CompletionItem

from jacengine.errors import JacengineError, nearest

_Item = TypeVar("_Item")


class NearestChoice(click.Choice[str]):
    """A choice whose error message names the nearest value."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Append the nearest value."""
        message = super().get_invalid_choice_message(value, ctx)
        return message + nearest(str(value), self.choices)


class Completed(click.ParamType[_Item], Generic[_Item]):
    """Another type, whose values are completed from a list of the usual ones.

    What is not in the list may be right as well: a pattern, an expression.
    """

    def __init__(
        self,
        item: click.ParamType[_Item],
        values: Callable[[click.Context], Iterable[str]],
        *,
        words: bool = False,
    ) -> None:
        """Take the type, and what lists the usual values for the options given.

        If `words`, each word of a value is one.
        """
        self.name = item.name
        self._item = item
        self._values = values
        self._words = words

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> _Item:
        """Convert as the other type does."""
        return self._item.convert(value, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete it; a catalogue that cannot be read has no names."""
        word = re.split(r"[\s(]", incomplete)[-1] if self._words else incomplete
        before = incomplete.removesuffix(word)
        try:
            values = sorted(set(self._values(ctx)))
        except JacengineError:
            return []
        return [CompletionItem(before + v) for v in values if v.startswith(word)]


class CommaSeparated(click.ParamType[tuple[_Item, ...]], Generic[_Item]):
    """Values separated by commas outside parentheses, which names of libraries have."""

    name = "list"

    def __init__(
        self, item: click.ParamType[_Item], all_items: tuple[_Item, ...] = ()
    ) -> None:
        """Take the type of each value, and what the word `all` stands for."""
        self._item = item
        self._all = all_items

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[_Item, ...]:
        """Split the text, convert each value and drop duplicates."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in _split(str(value)) if part.strip()]
        if not parts:
            self.fail("expected a value, or several separated by commas", param, ctx)
        if self._all and "all" in parts:
            return self._all
        items = [self._item.convert(part, param, ctx) for part in parts]
        return tuple(dict.fromkeys(items))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the last value, among those that are not there yet."""
        *before, last = _split(incomplete)
        found = self._item.shell_complete(ctx, param, last)
        prefix = "".join(f"{part}," for part in before)
        return [
            CompletionItem(prefix + item.value)
            for item in found
            if item.value not in before
        ]


def _split(text: str) -> list[str]:
    return re.split(r",(?![^()]*\))", text)
