"""The choice that all ranks make: what each has measured, merged by the same rule.

Ranks measure alone, candidates in the same order on problems of the same shape, and
then tell each other. The slowest rank's time counts, one wrong result is enough to
disqualify, and ties are broken as on one process. So no collective depends on how long
something took on some rank, and ranks cannot wait for each other in different places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jacengine.selection.candidate_result import CandidateResult
from jacengine.selection.ranking import cost_of, ranking
from jacengine.selection.select import Selection

Name = tuple[str, bool]
"""A strategy, and whether it is compiled."""
Table = list[dict[str, Any]]
"""What a rank tells of its selection."""
HARMLESS = ("ok", "skipped")
"""Outcomes that do not disqualify a candidate on other ranks."""


def name_of(result: CandidateResult) -> Name:
    """Return what a candidate is called on every rank: chunks may differ."""
    return result.strategy, result.compiled


def table_of(selection: Selection) -> Table:
    """Tell the best of each strategy's candidates, and why others are out."""
    best: dict[Name, CandidateResult] = {}
    for result in selection.candidates:  # the ranked ones first
        best.setdefault(name_of(result), result)
    return [
        {
            "strategy": strategy,
            "compiled": compiled,
            "outcome": result.outcome,
            "reason": result.reason,
            "time_s": cost_of(result),
            "bytes": result.peak_bytes or result.predicted_bytes or 0,
        }
        for (strategy, compiled), result in best.items()
    ]


@dataclass(frozen=True)
class Agreement:
    """What all ranks have measured.

    Attributes:
        ranked: The candidates that are right on all ranks, the best first.
        open: Those that are right on some and untried on others, the best first.
        blame: The first rank that disqualified a candidate, and why, if one has.
    """

    ranked: tuple[Name, ...]
    open: tuple[Name, ...]
    blame: tuple[int, str] | None


def agree(tables: Sequence[Table], order: Sequence[str]) -> Agreement:
    """Merge the tables of all ranks; the result is the same on each.

    Args:
        tables: One a rank.
        order: The strategies in the order in which they are registered.
    """
    rows: dict[Name, dict[int, dict[str, Any]]] = {}
    blame: tuple[int, str] | None = None
    for rank, table in enumerate(tables):
        for row in table:
            rows.setdefault((row["strategy"], row["compiled"]), {})[rank] = row
    everywhere: list[CandidateResult] = []
    somewhere: list[CandidateResult] = []
    names: dict[str, Name] = {}
    for name, found in rows.items():
        outcomes = {rank: row["outcome"] for rank, row in found.items()}
        bad = [rank for rank, outcome in outcomes.items() if outcome not in HARMLESS]
        right = [row for row in found.values() if row["outcome"] == "ok"]
        if bad and right and blame is None:
            row = found[bad[0]]
            blame = bad[0], f"{name[0]}: {row['outcome']}: {row['reason']}"
        if bad or not right:
            continue
        merged = CandidateResult(
            name[0],
            "ok",
            time_s=max(row["time_s"] for row in right),
            predicted_bytes=max(row["bytes"] for row in right),
        )
        where = everywhere if len(right) == len(tables) else somewhere
        where.append(_labelled(merged, name, names))
    order = [*order, *sorted({name[0] for name in rows} - set(order))]
    order += [f"{strategy} compiled" for strategy in order]

    def ranked(results: Sequence[CandidateResult]) -> tuple[Name, ...]:
        return tuple(names[result.strategy] for result in ranking(results, order))

    return Agreement(ranked(everywhere), ranked(somewhere), blame)


def _labelled(
    result: CandidateResult, name: Name, names: dict[str, Name]
) -> CandidateResult:
    """Give a compiled candidate a name of its own, after all eager ones."""
    label = f"{name[0]} compiled" if name[1] else name[0]
    names[label] = name
    return replace(result, strategy=label)


def with_first(selection: Selection, name: Name) -> Selection | None:
    """Return a selection whose choice is the best candidate of a name, if it is right.

    Returns:
        It; `None` if no candidate of that name is.
    """
    chosen = next((r for r in selection.ranked if name_of(r) == name), None)
    if chosen is None:
        return None
    others = (result for result in selection.candidates if result is not chosen)
    return replace(selection, candidates=(chosen, *others))
