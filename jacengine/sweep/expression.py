"""Selection by an expression, as pytest's `-k`: `mlp and not (large or conv)`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

from jacengine.errors import ArgumentError

_WORD = re.compile(r"[^\s()]+")
_OPERATORS = ("and", "or", "not")
_NODES = (
    *(ast.Expression, ast.Name, ast.Load),
    *(ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not),
)


def compile_expression(text: str) -> Callable[[str], bool]:
    """Compile an expression of words, `and`, `or`, `not` and parentheses.

    Args:
        text: The expression; a word matches a name that contains it, in any case. A
            blank expression matches every name.

    Returns:
        A function that tells whether a name matches.

    Raises:
        ArgumentError: The expression has a syntax error.
    """
    words: dict[str, str] = {}

    def to_identifier(word: re.Match[str]) -> str:
        if word[0] in _OPERATORS:
            return word[0]
        identifier = f"word_{len(words)}"
        words[identifier] = word[0].lower()
        return identifier

    # A blank expression becomes the name `word_`, which is true.
    source = _WORD.sub(to_identifier, " ".join(text.split())) or "word_"
    try:
        tree = ast.parse(source, mode="eval")
    except SyntaxError:
        tree = None
    if tree is None or not all(isinstance(node, _NODES) for node in ast.walk(tree)):
        raise ArgumentError(
            f"The expression {text!r} cannot be read. Write names joined by 'and', "
            "'or', 'not' and parentheses."
        )
    code = compile(tree, "<expression>", "eval")

    def matches(name: str) -> bool:
        found = {key: word in name.lower() for key, word in words.items()}
        return bool(eval(code, {"word_": True, **found}))  # noqa: S307 - names only

    return matches
