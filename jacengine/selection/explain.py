"""A selection as a table: for people (rich), for pandas, for a pipe (plain text)."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from jacengine.problem.problem import Problem
from jacengine.seeding.colored import color_count
from jacengine.selection.budget import format_bytes
from jacengine.selection.candidate_result import CandidateResult
from jacengine.selection.select import Selection
from jacengine.tables import Table, piped_width
from jacengine.timing import format_seconds

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = ("chunk", "fwd", "bwd", "time", "of best", "peak", "predicted")
_MEASURED = ("time_s", "first_s", "runs", "predicted_bytes", "peak_bytes", "error")
_STYLES = {"ok": "", "wrong": "red", "nonfinite": "red", "error": "red"}


def table(selection: Selection) -> Table:
    """Lay a selection out, the chosen candidate first."""
    ranked = selection.ranked
    best = ranked[0].time_s if ranked else None
    styles = [_STYLES.get(result.outcome, "dim") for result in selection.candidates]
    if ranked:
        styles[0] = "bold green"
    return Table(
        ("strategy", *_NUMBERS, "notes"),
        [_cells(result, best) for result in selection.candidates],
        numbers=_NUMBERS,
        styles=styles,
        notes="notes",
    )


def _cells(result: CandidateResult, best: float | None) -> tuple[str, ...]:
    def written(value: Any, write: Callable[[Any], str] = str) -> str:
        return "" if value is None else write(value)

    relative = result.time_s / best if result.time_s and best else None
    passes, notes = result.passes, result.notes
    if result.outcome != "ok":
        notes = f"{result.outcome}: {notes}" if notes else result.outcome
    return (
        result.strategy,
        written(result.chunk_size),
        written(passes and passes.forward),
        written(passes and passes.backward),
        written(result.time_s, format_seconds),
        written(relative, "{:.2f}".format),
        written(result.peak_bytes, format_bytes),
        written(result.predicted_bytes, format_bytes),
        notes,
    )


def summary(problem: Problem, selection: Selection) -> str:
    """Return in a few lines what is computed, what was chosen and what that cost."""
    rows = f"{problem.output_count} outputs x {problem.column_count} inputs"
    samples = "" if problem.batch_size is None else f", {problem.batch_size} samples"
    lines = [
        f"{problem.title} of {rows}{samples}: {format_bytes(problem.result_bytes)}, "
        f"budget {format_bytes(selection.budget)}."
    ]
    if problem.pattern is not None:
        pattern = problem.pattern
        lines.append(
            f"Sparse: {pattern.nnz:,} nonzeros, {color_count(problem):,} colours, "
            f"{pattern.origin}."
        )
    if problem.coupled:
        lines.append(
            "The samples depend on each other; parameters still have a Jacobian."
        )
    if not selection.ranked:
        return "\n".join(lines)
    chosen = selection.ranked[0]
    how = "by the cost model, untimed" if chosen.time_s is None else "measured"
    if selection.source == "cache":
        how = "measured earlier, verified now"
    if selection.unstable:
        lines.append(
            f"Unstable: {selection.load:.1f} processes wanted each core when this was "
            "measured. The choice is used while the machine is that busy; once it is "
            "quiet, auto and plan measure again."
        )
    if selection.doubt is not None:
        lines.append(
            "Doubt: finite differences disagree with autograd by "
            f"{selection.doubt:.0%}. Some operator is silently not differentiable, "
            "unless that is intended."
        )
    paid, calls = "", selection.break_even
    if calls is not None:
        paid = (
            "; against the slowest right method it has paid for itself after "
            f"{calls} call{'s' if calls != 1 else ''}"
        )
    lines.append(
        f"Chosen: {chosen.strategy} ({how}). The selection took "
        f"{format_seconds(selection.cost_s)}{paid}."
    )
    return "\n".join(lines)


def as_text(problem: Problem, selection: Selection, further: Sequence[str] = ()) -> str:
    """Draw summary and table; in colour where standard output is a terminal.

    Args:
        problem: What is computed.
        selection: What was chosen.
        further: What else to say, a line each, before the rest.
    """
    from rich.console import Console  # noqa: PLC0415 - slow to import

    terminal = sys.stdout.isatty()
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        force_terminal=terminal,
        width=None if terminal else piped_width(),
        highlight=False,
    )
    for line in (*further, *summary(problem, selection).splitlines()):
        console.print(line, markup=False, soft_wrap=not terminal)
    console.print(table(selection))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


def as_frame(selection: Selection) -> pd.DataFrame:
    """Return the candidates as a data frame, one row each, the chosen one first."""
    import pandas as pd  # noqa: PLC0415 - slow to import, and auto() needs none of it

    rows = [
        {
            "strategy": result.strategy,
            "outcome": result.outcome,
            "reason": result.notes,
            "chunk_size": result.chunk_size,
            "forward_passes": result.passes and result.passes.forward,
            "backward_passes": result.passes and result.passes.backward,
            **{name: getattr(result, name) for name in _MEASURED},
        }
        for result in selection.candidates
    ]
    return pd.DataFrame(rows)
