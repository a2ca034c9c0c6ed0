"""How one case ended, and one workload, in sentences."""

from __future__ import annotations

from jacengine.report.formatting import Name, Sentence, listed, ratio, rounded, seconds
from jacengine.report.ranking import BASELINE, Standing
from jacengine.report.scaling import Series


def verdict(standing: Standing) -> Sentence:
    """Say how one case ended."""
    winner, second = standing.winner, standing.runner_up
    if winner is None:
        right = [Name(row.strategy) for row in standing.rows if row.outcome == "ok"]
        return (
            (*listed(right), " agree; nothing was timed.")
            if right
            else failed(standing)
        )
    said: Sentence = (
        Name(winner.strategy),
        f" is the fastest: {seconds(winner.time_s)}",
    )
    lead = standing.relative(second)
    if second is not None and lead is not None:
        better = "within noise of" if standing.noisy else f"{ratio(lead)} as fast as"
        said += (f", {better} ", Name(second.strategy))
    if standing.gain is not None and BASELINE not in {
        winner.strategy,
        second.strategy if second else "",
    }:
        about = "about " if standing.estimated else ""
        said += (f" and {about}{ratio(standing.gain)} as fast as ", Name(BASELINE))
    return (*said, ".")


def failed(standing: Standing) -> Sentence:
    """Say that there is no result, and why if that is known."""
    reason = f": {standing.case.failure}" if standing.case.failure else ""
    return (
        "There is no result for ",
        Name(standing.case.name),
        f"{reason.rstrip('.')}.",
    )


def growth(series: Series) -> list[Sentence]:
    """Say who overtakes whom as a workload grows."""
    parameter = series.standings[0].case.parameter or "size"
    return [
        (
            "From about ",
            f"{rounded(found.size)} {parameter} on, ",
            Name(found.after),
            " overtakes ",
            Name(found.before),
            ".",
        )
        for found in series.crossovers()
    ]
