"""The headline and the key figures at the top of a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from jacengine.report.formatting import TIMES, count, ratio
from jacengine.report.peer_comparison import (
    TimeRatios,
    comparisons,
    geometric_mean,
    mean_interval,
    time_ratios,
)
from jacengine.report.ranking import BASELINE, WRONG, Ranking, wins


def headline(rankings: Sequence[Ranking]) -> str:
    """State the most important finding in a line."""
    costs = time_ratios(rankings, "auto", "strategy")
    if costs:
        taken = ratio(geometric_mean(costs))
        text = f"auto takes {taken} the time of the best strategy"
        if over := time_ratios(rankings, "auto", "library"):
            taken = ratio(geometric_mean(over))
            text += f" and {taken} that of the fastest other library"
        if over := time_ratios(rankings, "compiled", "library"):
            text += f" (compiled, {ratio(geometric_mean(over))})"
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
    costs = time_ratios(rankings, "auto", "strategy")
    if costs:
        text = "auto's time over that of the best strategy"
        found.append((ratio(geometric_mean(costs)), f"{text}{_interval(costs)}"))
        if over := time_ratios(rankings, "auto", "library"):
            text = "auto's time over that of the fastest other library"
            found.append((ratio(geometric_mean(over)), f"{text}{_interval(over)}"))
            ahead = Counter(each.ahead for each in comparisons(rankings))
            text = (
                f"of {count(len(over), 'problem')} on which another library is ahead "
                f"of auto; auto is on {ahead['auto']}"
            )
            found.append((f"{ahead['library']}", text))
    else:
        found.append((f"{len(wins(rankings))}", "methods are the fastest somewhere"))
    agree, finished = verified(rankings)
    text = f"of {count(finished, 'result')} agree with plain autograd; others are out"
    found.append((f"{agree:,}", text))
    gains = [r.speedup for r in solved if r.speedup is not None]
    if gains:
        text = f"{BASELINE}'s time over that of the fastest method, in the median"
        found.append((ratio(median(gains)), text))
    return found


def verified(rankings: Sequence[Ranking]) -> tuple[int, int]:
    """Count the results that agree with plain autograd, and all that were compared."""
    outcomes = Counter(row.outcome for ranking in rankings for row in ranking.rows)
    return outcomes["ok"], outcomes["ok"] + sum(outcomes[each] for each in WRONG)


def _interval(ratios: TimeRatios) -> str:
    """Format the interval of a mean: ` (geometric mean; 95 %: 1.01 to 1.05x)`."""
    if len(ratios) < 2:
        return ""
    interval = mean_interval(ratios)
    if interval is None:
        return f" (geometric mean of {len(ratios)})"
    low, high = (ratio(each) for each in interval)
    return f" (geometric mean; 95 %: {low.removesuffix(TIMES)} to {high})"
