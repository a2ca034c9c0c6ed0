"""The headline and the key figures at the top of a report."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from jacengine.report.formatting import count, percent, ratio
from jacengine.report.peer_comparison import (
    NEAR_BEST,
    geometric_mean,
    near_best,
    time_ratios,
)
from jacengine.report.ranking import BASELINE, Ranking, wins


def headline(rankings: Sequence[Ranking]) -> str:
    """State the most important finding in a line."""
    if time_ratios(rankings, "auto", "strategy"):
        near, total, noun = near_best(rankings)
        share, cases = percent(NEAR_BEST - 1), count(total, noun)
        text = f"auto is within {share} of the best strategy on {near} of {cases}"
        speedups = time_ratios(rankings, "library", "auto")
        mean = geometric_mean(speedups) if speedups else 1.0
        if mean > NEAR_BEST:
            text += f", and {ratio(mean)} as fast as the best other library"
        return text
    won = wins(rankings)
    cases = count(sum(number for _, number in won), "problem")
    if not won:
        return "Nothing was computed"
    if len(won) == 1:
        return f"One method is the fastest on {cases}"
    return f"No method is always the fastest: {cases}, {len(won)} winners"


def key_figures(rankings: Sequence[Ranking]) -> list[tuple[str, str]]:
    """List the key figures, each as its value and its label."""
    solved = [r for r in rankings if r.winner is not None]
    if not solved:
        return []
    found: list[tuple[str, str]] = []
    has_auto = bool(time_ratios(rankings, "auto", "strategy"))
    if has_auto:
        near, total, noun = near_best(rankings)
        share = percent(NEAR_BEST - 1)
        label = f"{noun}s where auto is within {share} of the best strategy"
        found.append((f"{near} of {total}", label))
        if speedups := time_ratios(rankings, "library", "auto"):
            label = "as fast as the best other library, in the geometric mean"
            found.append((ratio(geometric_mean(speedups)), label))
    label = "problems solved, every result verified"
    found.append((f"{len(solved)} of {len(rankings)}", label))
    if not has_auto:
        found.append((f"{len(wins(rankings))}", "methods are the fastest somewhere"))
    gains = [r.speedup for r in solved if r.speedup is not None]
    if gains:
        found.append((ratio(median(gains)), f"as fast as {BASELINE}, in the median"))
    slowest = max(r.relative_time(r.ranked[-1]) or 1.0 for r in solved)
    return [*found, (ratio(slowest), "from the best to the worst choice, at most")]
