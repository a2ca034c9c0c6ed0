"""The first paragraph of a report: what was measured, on what, and the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from jacengine.problem.quantity import TITLES, Quantity
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
    """Write the first two paragraphs: what was measured, and the answer."""
    paragraphs = (
        [_what(rankings), _how(report, rankings), _verified(rankings)],
        [_answer(rankings), _ahead(rankings)],
    )
    joined = (" ".join(filter(None, sentences)) for sentences in paragraphs)
    return [paragraph for paragraph in joined if paragraph]


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
    quantities = Counter[Quantity](ranking.case.quantity for ranking in rankings)
    kinds = enumerated(
        [f"{n:,} {_noun(TITLES[q], n)}" for q, n in quantities.most_common()]
    )
    series = workload_series(rankings)
    most = max((len(each.rankings) for each in series), default=1)
    of = f", of {count(len(series), 'workload')}" if series else ""
    sizes = f" in up to {most} sizes" if most > 1 else ""
    return (
        "This report compares methods that compute derivatives of PyTorch functions: "
        f"{kinds}{of}{sizes}."
    )


def _noun(title: str, number: int) -> str:
    """Write the title of a quantity in the plural: `diagonals of the Hessian`."""
    word, *rest = title.split(" ")
    word = word if word.endswith("ian") else word.lower()
    return " ".join([word if number == 1 else f"{word}s", *rest])


def _how(report: Report, rankings: Sequence[Ranking]) -> str:
    """State by what, and on what machine."""
    ours, theirs = (_tried(rankings, kind) for kind in ("strategy", "library"))
    if not ours:
        return ""
    version = f" {report.machine.jacengine}" if report.machine.jacengine else ""
    by = f"{count(ours, 'strategy', 'strategies')} of jacengine{version}"
    by += f" and {count(theirs, 'method')} of other libraries" if theirs else ""
    timed = f"; times are {text}" if (text := rounds(rankings)) else ""
    return f"They were tried by {by}, on {measured_on(report)}{timed}."


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
    rest = f", and the {left:,} that differ are left out" if left else ""
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
        f"{ratio(geometric_mean(costs))} the time of the strategy that turned out "
        f"fastest{_interval(costs, first=True)}"
    )
    if over := time_ratios(rankings, "auto", "library"):
        mean = ratio(geometric_mean(over))
        text += f" and {mean} that of the fastest other library{_interval(over)}"
    if over := time_ratios(rankings, "compiled", "library"):
        text += f"; compiled, {ratio(geometric_mean(over))} that{_interval(over)}"
    text += ", as geometric means" if len(costs) > 1 else ""
    if failed := [r for r in rankings if r.auto is not None and not r.best("auto")]:
        text += f"; it has no result on {count(len(failed), 'problem')}"
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
    for who, label in (("library", "another library"), ("auto", name("auto"))):
        ratios = [
            (each.ranking, factor if who == "library" else 1 / factor)
            for each in known
            if each.ahead == who and (factor := each.over_library)
        ]
        if not ratios:
            continue
        part = f"{label} is ahead on {len(ratios)}, by {ratio(geometric_mean(ratios))}"
        where = max(ratios, key=lambda item: item[1])
        best = where[0].best("library") if who == "library" else None
        by = f"by {name(best.strategy)} " if best else ""
        most = f"most {by}on {name(where[0].case.name)}: {ratio(where[1])}"
        parts.append(f"{part} ({most})" if len(ratios) > 1 else part)
    if counts["even"]:
        parts.append(f"on {counts['even']} both are even, within noise")
    return f"Of {count(len(known), 'problem')}, {'; '.join(parts)}."


def _interval(ratios: TimeRatios, *, first: bool = False) -> str:
    """Format the interval of a geometric mean; the first one says what it is."""
    interval = mean_interval(ratios)
    if interval is None:
        return ""
    low, high = (ratio(each) for each in interval)
    meaning = f"{100 * CONFIDENCE:.0f} % interval over workloads: " if first else ""
    return f" ({meaning}{low.removesuffix(TIMES)} to {high})"
