"""The first paragraph of a report: what was measured, on what, and the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from jacengine.problem.quantity import TITLES
from jacengine.report.case import Kind, Report
from jacengine.report.formatting import TIMES, count, enumerated, name, ratio
from jacengine.report.key_figures import verified
from jacengine.report.peer_comparison import (
    CONFIDENCE,
    TimeRatios,
    comparisons,
    geometric_mean,
    mean_interval,
    time_ratios,
)
from jacengine.report.ranking import Ranking
from jacengine.report.scaling import workload_series


def lead(report: Report, rankings: Sequence[Ranking]) -> list[str]:
    """Write the first paragraph, sentence by sentence."""
    found = [
        _what(rankings),
        _how(report, rankings),
        _verified(rankings),
        _answer(rankings),
        _ahead(rankings),
    ]
    return [sentence for sentence in found if sentence]


def measured_on(report: Report) -> str:
    """Name what times depend on most."""
    machine = report.machine
    threads = {case.threads for case in report.cases if case.threads is not None}
    used = sorted(threads) or [machine.threads]
    noun = "thread" if used == [1] else "threads"
    parts = [
        machine.gpu or machine.cpu,
        f"{enumerated([str(number) for number in used])} {noun}",
        f"PyTorch {machine.torch}",
    ]
    return ", ".join(parts)


def rounds(rankings: Sequence[Ranking]) -> str:
    """Say how often each method was timed: `medians of 3 to 15 rounds`."""
    counts = {len(r.times) for ranking in rankings for r in ranking.timed if r.times}
    if not counts:
        return ""
    low, high = min(counts), max(counts)
    times = f"{low}" if low == high else f"{low} to {high}"
    return f"medians of {times} {'round' if high == 1 else 'rounds'}"


def _what(rankings: Sequence[Ranking]) -> str:
    """State what was computed."""
    if not rankings:
        return ""
    quantities = Counter(TITLES[ranking.case.quantity] for ranking in rankings)
    listed = [f"{title} ({n})" for title, n in quantities.most_common()]
    kinds = listed[0].split(" (")[0] if len(listed) == 1 else enumerated(listed)
    series = workload_series(rankings)
    cases = count(len(rankings), "problem")
    if series:
        most = max(len(each.rankings) for each in series)
        sizes = f", in up to {most} sizes" if most > 1 else ""
        cases = f"{count(len(series), 'workload')}{sizes} ({cases})"
    return (
        "This report compares methods that compute derivatives of PyTorch functions. "
        f"It measures {cases}; what is computed: {kinds}."
    )


def _how(report: Report, rankings: Sequence[Ranking]) -> str:
    """State by what, and on what machine."""
    ours, theirs = (_tried(rankings, kind) for kind in ("strategy", "library"))
    if not ours:
        return ""
    version = report.machine.jacengine
    text = f"Each was tried by {count(ours, 'strategy', 'strategies')} of jacengine"
    text += f" {version}" if version else ""
    if theirs:
        text += f" and {count(theirs, 'method')} of other libraries"
    timed = rounds(rankings)
    return f"{text}, on {measured_on(report)}{f'; {timed}' if timed else ''}."


def _tried(rankings: Sequence[Ranking], kind: Kind) -> int:
    """Count the methods of a kind that took part somewhere."""
    return len(
        {
            row.strategy
            for ranking in rankings
            for row in ranking.rows
            if row.kind == kind and row.outcome != "skipped"
        }
    )


def _verified(rankings: Sequence[Ranking]) -> str:
    """State how many results are right."""
    agree, finished = verified(rankings)
    if not finished:
        return ""
    left = finished - agree
    rest = "; none differs" if not left else f"; {left:,} that differ are left out"
    return (
        f"Every result was compared with plain autograd: {agree:,} of {finished:,} "
        f"agree{rest}."
    )


def _answer(rankings: Sequence[Ranking]) -> str:
    """State the cost of automatic selection, and the comparison with libraries."""
    costs = time_ratios(rankings, "auto", "strategy")
    if not costs:
        return ""
    text = (
        f"{name('jacengine.auto')}, which chooses a strategy by itself, takes "
        f"{_mean(costs)} the time of the strategy that turned out fastest"
    )
    if over := time_ratios(rankings, "auto", "library"):
        text += f", and {_mean(over)} that of the fastest other library"
    if over := time_ratios(rankings, "compiled", "library"):
        text += f"; compiled, it takes {_mean(over)} that"
    return f"{text}."


def _ahead(rankings: Sequence[Ranking]) -> str:
    """State who is ahead where, by how much, and the most that a library is."""
    known = [each for each in comparisons(rankings) if each.ahead]
    if not known:
        return ""
    first, counts = known[0], Counter(each.ahead for each in known)
    if len(known) == 1:
        library, over = first.library, first.over_library or 1.0
        theirs = name(library.strategy if library else "")
        return {
            "auto": f"{name('auto')} is ahead of {theirs} by {ratio(1 / over)}.",
            "library": f"{theirs} is ahead of {name('auto')} by {ratio(over)}.",
        }.get(first.ahead, f"{name('auto')} and {theirs} are even, within noise.")
    parts: list[str] = []
    for who, label in (("library", "another library is"), ("auto", name("auto"))):
        ratios = [
            (each.ranking, factor if who == "library" else 1 / factor)
            for each in known
            if each.ahead == who and (factor := each.over_library)
        ]
        if ratios:
            mean = ratio(geometric_mean(ratios))
            verb = "ahead" if who == "library" else "is ahead"
            parts.append(f"{label} {verb} on {len(ratios)}, by {mean}")
    if counts["even"]:
        parts.append(f"on {counts['even']} both are even, within noise")
    text = f"Of {count(len(known), 'problem')}, by geometric means, {enumerated(parts)}"
    if first.ahead == "library" and first.library is not None:
        text += (
            f". Most of all on {name(first.ranking.case.name)}, where "
            f"{name(first.library.strategy)} is {ratio(first.over_library)} as fast as "
            f"{name('auto')}"
        )
    return f"{text}."


def _mean(ratios: TimeRatios) -> str:
    """Format a geometric mean with its interval."""
    mean, interval = ratio(geometric_mean(ratios)), mean_interval(ratios)
    if len(ratios) == 1 or interval is None:
        return mean
    low, high = (ratio(each) for each in interval)
    return (
        f"{mean} (geometric mean; {100 * CONFIDENCE:.0f} % interval over workloads "
        f"{low.removesuffix(TIMES)} to {high})"
    )
