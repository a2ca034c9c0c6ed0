"""Selection by an expression, as pytest's `-k`: `mlp and not (large or conv)`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

from jacengine.errors import ArgumentError

Matcher = Callable[[str], bool]
_WORD = re.compile(r"[^\s()]+")
_OPERATORS = frozenset({"and", "or", "not"})


def compile_expression(text: str) -> Matcher:
    """Compile an expression of words, `and`, `or`, `not` and parentheses.

    Args:
        text: The expression; a word matches a name that contains it, in any case. A
            blank expression matches every name.

    Returns:
        A function that tells whether a name matches.

    Raises:
        ArgumentError: The expression has a syntax error.
    """
    words: list[str] = []

    def to_identifier(word: re.Match[str]) -> str:
        if word[0] in _OPERATORS:
            return word[0]
        words.append(word[0].lower())
        return f"word_{len(words) - 1}"

    source = " ".join(_WORD.sub(to_identifier, text).split())
    try:
        tree = ast.parse(source, mode="eval").body if source else ast.Constant(True)
        return _compile(tree, words)
    except SyntaxError as error:
        raise ArgumentError(
            f"The expression {text!r} cannot be read. Write names joined by 'and', "
            "'or', 'not' and parentheses."
        ) from error


def _compile(node: ast.expr, words: list[str]) -> Matcher:
    """Compile a syntax tree.

    Raises:
        SyntaxError: It has other nodes than names and operators.
    """
    match node:
        case ast.Name(identifier):
            word = words[int(identifier.removeprefix("word_"))]
            return lambda name: word in name.lower()
        case ast.UnaryOp(ast.Not(), operand):
            inner = _compile(operand, words)
            return lambda name: not inner(name)
        case ast.BoolOp(operator, values):
            parts = [_compile(value, words) for value in values]
            combine = all if isinstance(operator, ast.And) else any
            return lambda name: combine(part(name) for part in parts)
        case ast.Constant():  # of a blank expression
            return lambda _: True
        case _:
            raise SyntaxError
