"""A selection as JSON, and back: what caches and `Plan.save` keep.

No pickle: a file holds names, numbers and text, and loading it runs nothing. What it
says is not believed either: a method that comes from a file is verified before use.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from torch import Tensor

from jacengine.errors import ArgumentError
from jacengine.execution.kernel_fallbacks import KERNEL_FALLBACKS
from jacengine.execution.method import Execution, Method
from jacengine.interface import Strategy
from jacengine.problem.problem import Options
from jacengine.seeding.samples import SamplePolicy
from jacengine.selection.candidate_result import CandidateResult, Outcome
from jacengine.selection.select import Effort, Selection

LARGEST = 2**20
"""Bytes of a file that is still read."""

_NUMBERS = ("time_s", "first_s", "forecast_s", "error")
_COUNTS = ("predicted_bytes", "peak_bytes", "largest_chunk")


def describe_options(options: Options) -> str:
    """Write the options of a call, the same for equal ones."""

    def text(value: object) -> object:
        return value.tolist() if isinstance(value, Tensor) else repr(value)

    fields = {
        f.name: text(getattr(options, f.name)) for f in dataclasses.fields(options)
    }
    return json.dumps(fields, sort_keys=True)


def to_json(selection: Selection, key: str) -> str:
    """Write a selection under its key."""
    document = {
        "key": key,
        "effort": selection.effort,
        "budget": selection.budget,
        "cost_s": selection.cost_s,
        "records": [_record(record) for record in selection.records],
    }
    return json.dumps(document, indent=1, allow_nan=False)


def _record(record: CandidateResult) -> dict[str, Any]:
    method = record.method
    chosen: dict[str, Any] | None = None
    if method is not None:
        chosen = {
            "sample_policy": method.sample_policy.value,
            "chunk_size": method.chunk_size,
            "samples": method.samples,
            "scopes": [scope.name for scope in method.scopes],
            "execution": method.execution.value,
        }
    numbers = {name: _finite(getattr(record, name)) for name in _NUMBERS}
    counts = {name: getattr(record, name) for name in _COUNTS}
    return {
        "strategy": record.strategy,
        "outcome": record.outcome,
        "reason": record.reason,
        "chunk_size": record.chunk_size,
        "method": chosen,
        **numbers,
        **counts,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and abs(value) < float("inf") else None


def read_key(text: str) -> str:
    """Return the key that a document was written under.

    Raises:
        ArgumentError: It is not such a document.
    """
    return str(_field(_document(text), "key", str))


def from_json(text: str, strategies: Sequence[Strategy]) -> Selection:
    """Read a selection among these strategies.

    Args:
        text: The document.
        strategies: Those it may name.

    Raises:
        ArgumentError: It is damaged, or names a strategy that is not there.
    """
    document = _document(text)
    by_name = {strategy.name: strategy for strategy in strategies}
    records = [_read(item, by_name) for item in _field(document, "records", list)]
    effort = _field(document, "effort", str)
    if effort not in get_args(Effort):
        raise ArgumentError(f"The saved plan has an unknown effort {effort!r}.")
    return Selection(
        tuple(records),
        float(_field(document, "cost_s", (int, float))),
        _field(document, "budget", int),
        effort,
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


def _read(item: Any, strategies: Mapping[str, Strategy]) -> CandidateResult:
    if not isinstance(item, dict):
        raise ArgumentError("The saved plan has a malformed record.")
    name = _field(item, "strategy", str)
    outcome = _field(item, "outcome", str)
    if name not in strategies or outcome not in get_args(Outcome):
        raise ArgumentError(f"The saved plan names {name!r}, which is not a candidate.")
    method = None
    if item.get("method") is not None:
        method = _method(strategies[name], item["method"])
    numbers = {key: _number(item.get(key), float) for key in _NUMBERS}
    counts = {key: _number(item.get(key), int) for key in _COUNTS}
    return CandidateResult(
        strategy=name,
        outcome=outcome,
        reason=str(item.get("reason", "")),
        method=method,
        chunk_size=_number(item.get("chunk_size"), int),
        **numbers,
        **counts,
    )


def _method(strategy: Strategy, item: Any) -> Method:
    by_name = {scope.name: scope for scope in KERNEL_FALLBACKS}
    try:
        scopes = tuple(by_name[name] for name in item["scopes"])
        kind = SamplePolicy(item["sample_policy"])
        chunk_size = _number(item["chunk_size"], int)
        samples = _number(item["samples"], int)
        execution = Execution(item.get("execution", Execution.EAGER))
    except (KeyError, TypeError, ValueError) as error:
        raise ArgumentError(
            f"The saved plan has a malformed method: {error}"
        ) from error
    return Method(strategy, kind, chunk_size, scopes, samples, execution)


def _number(value: Any, kind: type) -> Any:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ArgumentError(f"The saved plan has {value!r} where a number belongs.")
    return kind(value)
