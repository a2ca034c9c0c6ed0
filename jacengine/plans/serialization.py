"""A selection as JSON, and back: for the disk cache and for `Plan.save`.

No pickle: a file holds names, numbers and text, and loading it runs nothing. What it
says is not trusted either: a method that comes from a file is verified before use.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import torch
from torch import Tensor

from jacengine.errors import ArgumentError, PlanMismatchError
from jacengine.execution.kernel_fallbacks import KERNEL_FALLBACKS
from jacengine.execution.method import Execution, Method
from jacengine.interface import Composition
from jacengine.problem.problem import Options
from jacengine.seeding.basis import Basis
from jacengine.seeding.colored import Colors
from jacengine.seeding.samples import SamplePolicy
from jacengine.seeding.seeding import SeedingPolicy
from jacengine.seeding.two_sided import TwoSidedColors
from jacengine.selection.candidate_result import CandidateResult, Outcome
from jacengine.selection.effort import Effort
from jacengine.selection.select import Selection

SEEDINGS: dict[str, SeedingPolicy] = {
    policy.name: policy for policy in (Basis(), Colors(), TwoSidedColors())
}
"""The seeding policies by name."""
LARGEST = 2**20
"""Bytes up to which a file is read."""

MOST = 2**63
"""The largest number of bytes, directions or seconds that is read."""
_NUMBERS = ("time_s", "first_s", "forecast_s", "error")
_COUNTS = ("predicted_bytes", "peak_bytes", "largest_chunk")


def describe_options(options: Options) -> str:
    """Write the options of a call, the same for equal ones."""
    fields = {name: _described(value) for name, value in vars(options).items()}
    return json.dumps(fields, sort_keys=True)


def _described(value: object) -> object:
    return value.tolist() if isinstance(value, Tensor) else repr(value)


def read_options(text: str, given: Mapping[str, Any]) -> Options:
    """Read the options of a call that a saved plan was made for.

    Args:
        text: The document.
        given: Options that the caller states, which must be those.

    Raises:
        ArgumentError: The document holds no such options.
        PlanMismatchError: An option that is given is another one, or one is not given
            that a file cannot hold.
    """
    try:
        fields = json.loads(read_key(text))
    except (ValueError, RecursionError) as error:
        raise ArgumentError("The saved plan has no readable options.") from error
    default = vars(Options())
    if not isinstance(fields, dict) or not fields.keys() <= default.keys():
        raise ArgumentError("The saved plan has no readable options.")
    found = dict(default)
    for name, saved in fields.items():
        if name not in given:
            found[name] = _read_option(name, saved)
            continue
        mine = found[name] = given[name]
        if saved != _described(mine):
            raise PlanMismatchError(
                f"was made with {name}={saved}, not with {name}={_described(mine)}. "
                f"Leave {name}= out to use what the file says, or make another plan."
            )
    return Options(**found)


def _read_option(name: str, saved: object) -> object:
    if isinstance(saved, list):
        return torch.tensor(saved, dtype=torch.int64, device="cpu")
    bounds = re.fullmatch(r"slice(\(.*\))", str(saved))
    try:
        value = ast.literal_eval(bounds[1] if bounds else str(saved))
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise PlanMismatchError(
            f"was made with {name}={saved}, which a file cannot hold. Pass the same "
            f"{name}=."
        ) from error
    return slice(*value) if bounds else value


def to_json(selection: Selection, key: str) -> str:
    """Write a selection under its key."""
    document = {
        "key": key,
        "effort": selection.effort,
        "budget": selection.budget,
        "cost_s": selection.cost_s,
        "load": selection.load,
        "candidates": [_candidate(result) for result in selection.candidates],
    }
    return json.dumps(document, indent=1, allow_nan=False)


def _candidate(result: CandidateResult) -> dict[str, Any]:
    numbers = {name: getattr(result, name) for name in (*_NUMBERS, *_COUNTS)}
    return {
        "strategy": result.strategy,
        "outcome": result.outcome,
        "reason": result.reason,
        "method": None if result.method is None else _method(result.method),
        **{k: v if v is None or math.isfinite(v) else None for k, v in numbers.items()},
    }


def _method(method: Method) -> dict[str, Any]:
    """Write a method, without the strategy and gradient that the candidate names."""
    other = method.other
    return {
        "sample_policy": method.sample_policy.value,
        "slice_size": method.slice_size,
        "seeding": method.seeding.name,
        "chunk_size": method.chunk_size,
        "execution": method.execution.value,
        "fallbacks": [fallback.name for fallback in method.fallbacks],
        "tuning": method.tuning,
        "other": other and {"strategy": other.name, **_method(other)},
    }


def read_key(text: str) -> str:
    """Return the key that a document was written under.

    Raises:
        ArgumentError: It is not such a document.
    """
    return str(_field(_document(text), "key", str))


def from_json(text: str, compositions: Sequence[Composition]) -> Selection:
    """Read a selection among these strategies.

    Raises:
        ArgumentError: It is damaged, or names a strategy that is not there.
    """
    document = _document(text)
    by_name = {composition.name: composition for composition in compositions}
    items = _field(document, "candidates", list)
    effort = _field(document, "effort", str)
    if effort not in get_args(Effort):
        raise ArgumentError(f"The saved plan has an unknown effort {effort!r}.")
    return Selection(
        tuple(_read_candidate(item, by_name) for item in items),
        _number(_field(document, "cost_s", (int, float)), float),
        _number(_field(document, "budget", int), int),
        effort,
        load=_number(_field({"load": 0.0, **document}, "load", (int, float)), float),
    )


def _document(text: str) -> Mapping[str, Any]:
    if len(text) > LARGEST:
        raise ArgumentError("The saved plan is too large to be one.")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"The saved plan is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ArgumentError("The saved plan is not a JSON object.")
    return document


def _field(document: Mapping[str, Any], name: str, kind: Any) -> Any:
    value = document.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ArgumentError(f"The saved plan has no usable field {name!r}.")
    return value


def _read_candidate(
    item: Any, compositions: Mapping[str, Composition]
) -> CandidateResult:
    if not isinstance(item, dict):
        raise ArgumentError("The saved plan has a malformed candidate.")
    name = _field(item, "strategy", str)
    outcome = _field(item, "outcome", str)
    if name not in compositions or outcome not in get_args(Outcome):
        raise ArgumentError(f"The saved plan names {name!r}, which is not a candidate.")
    method = None
    if item.get("method") is not None:
        method = _read_method(name, item["method"], compositions)
    numbers = {key: _number(item.get(key), float) for key in _NUMBERS}
    counts = {key: _number(item.get(key), int) for key in _COUNTS}
    reason = str(item.get("reason", ""))
    return CandidateResult(name, outcome, reason, method, **numbers, **counts)


def _read_method(
    name: str, item: Any, compositions: Mapping[str, Composition]
) -> Method:
    try:
        method, other = _read_side(compositions[name], item), item.get("other")
        if other is None:
            return method
        return replace(method, other=_read_side(compositions[other["strategy"]], other))
    except (KeyError, TypeError, ValueError) as error:
        said = f"The saved plan has a malformed method: {error}"
        raise ArgumentError(said) from error


def _read_side(composition: Composition, item: Any) -> Method:
    """Read a method of one side of the matrix, or of all of it."""
    fallbacks = {fallback.name: fallback for fallback in KERNEL_FALLBACKS}
    return Method(
        composition.strategy,
        composition.gradient,
        sample_policy=SamplePolicy(item["sample_policy"]),
        slice_size=_number(item["slice_size"], int, least=1),
        seeding=SEEDINGS[item["seeding"]],
        chunk_size=_number(item["chunk_size"], int, least=1),
        execution=Execution(item["execution"]),
        fallbacks=tuple(fallbacks[name] for name in item["fallbacks"]),
        tuning=tuple((str(what), str(which)) for what, which in item["tuning"]),
    )


def _number(value: Any, kind: type, *, least: int = 0) -> Any:
    if value is None:
        return None
    fits = isinstance(value, int | float if kind is float else int)
    if isinstance(value, bool) or not fits or not least <= value <= MOST:
        shown = f"{value!r:.40}" if isinstance(value, float) else f"{value!s:.40}"
        raise ArgumentError(f"The saved plan has {shown} where a number belongs.")
    return kind(value)
