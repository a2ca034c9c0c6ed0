"""The cases of a sweep, selected and in order."""

from __future__ import annotations

import ast
import fnmatch
import itertools
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from jacengine.bench.workload import Workload
from jacengine.errors import ArgumentError, nearest
from jacengine.sweep.case_spec import CaseSpec

SIZES = ("small", "medium", "large")
_Item = TypeVar("_Item")
_NODES = (
    *(ast.Expression, ast.Name, ast.Load),
    *(ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not),
)


def select_cases(
    workloads: Sequence[Workload],
    *,
    patterns: Sequence[str] = (),
    expression: str = "",
    sizes: Sequence[str] = ("small",),
    dtypes: Sequence[str] = ("",),
    devices: Sequence[str] = ("cpu",),
    threads: Sequence[int | None] = (None,),
) -> list[CaseSpec]:
    """List all combinations of workloads and options, the small sizes first.

    Args:
        workloads: The workloads to select from.
        patterns: Shell patterns of workload names; an empty list selects all.
        expression: As pytest's `-k`, matched against names of cases and sizes.
        sizes: Some of `"small"`, `"medium"`, `"large"`.
        dtypes: Names of dtypes; an empty name is the workload's own.
        devices: Names of devices.
        threads: Threads of one operator; `None` is PyTorch's default.

    Raises:
        ArgumentError: A pattern matches no workload, or no case is left.
    """
    names = [workload.name for workload in workloads]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise ArgumentError(
                f"No workload is called {pattern!r}.{nearest(pattern, names)} "
                "'jacengine workloads' lists them."
            )
    selected = [
        workload
        for workload in workloads
        if any(fnmatch.fnmatchcase(workload.name, p) for p in patterns or ("*",))
    ]
    matches = compile_expression(expression)
    specs: dict[str, CaseSpec] = {}
    for label, workload in itertools.product(sizes, selected):
        size = workload.sizes[SIZES.index(label)]
        for dtype, device, count in itertools.product(dtypes, devices, threads):
            spec = CaseSpec(workload.name, size, dtype, device, count)
            if matches(f"{spec.name}/{label}"):
                specs.setdefault(spec.name, spec)
    if not specs:
        raise ArgumentError(
            f"The expression {expression!r} leaves no case. 'jacengine bench --list' "
            "lists all cases."
        )
    return list(specs.values())


def shard(items: Sequence[_Item], number: int, count: int) -> list[_Item]:
    """Return every `count`-th item, beginning with the `number`-th (from 1)."""
    return list(items[number - 1 :: count])


def compile_expression(text: str) -> Callable[[str], bool]:
    """Compile an expression as pytest's `-k`: `mlp and not (large or conv)`.

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
        if word[0] in {"and", "or", "not"}:
            return word[0]
        identifier = f"word_{len(words)}"
        words[identifier] = word[0].lower()
        return identifier

    # A blank expression becomes the name `word_`, which is true.
    source = re.sub(r"[^\s()]+", to_identifier, " ".join(text.split())) or "word_"
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
