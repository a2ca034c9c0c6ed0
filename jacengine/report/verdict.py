"""How one case ended, in a sentence."""

from __future__ import annotations

from jacengine.report.formats import ratio, seconds
from jacengine.report.phrases import Name, Sentence, listed
from jacengine.report.standing import BASELINE, Standing


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
        said += (f", {ratio(lead)} as fast as ", Name(second.strategy))
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
