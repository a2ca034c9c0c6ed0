"""The findings of a report in sentences, each derived from its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from jacengine.report.case import Kind, Report
from jacengine.report.formatting import (
    abbreviated,
    count,
    enumerated,
    name,
    percent,
    ratio,
    rounded,
    seconds,
    size,
)
from jacengine.report.peer_comparison import (
    comparisons,
    geometric_mean,
    peer_comparisons,
    time_ratios,
)
from jacengine.report.ranking import (
    BASELINE,
    CLOSE,
    WRONG,
    Ranking,
    competitors,
    even,
    most_robust,
    wins,
)
from jacengine.report.scaling import Series, case_names

BUSY = 0.5
"""A load above this share of the cores disturbs times."""
_MAX_WINNERS = 6
"""The most winners that are named."""
_MAX_PEERS = 4
"""The most other libraries that are named."""


def report_sentences(report: Report, rankings: Sequence[Ranking]) -> list[str]:
    """State what the report shows, the most important first."""
    sentences = (
        _costliest(rankings),
        _compiled(rankings),
        _each_library(rankings),
        _cases(
            "On {} no other library finished with a correct result",
            [r for r in rankings if _only_auto(r)],
            rankings,
        ),
        _cases(
            f"{name('auto')} has no result on {{}}",
            [r for r in rankings if r.auto is not None and r.auto.outcome != "ok"],
            rankings,
        ),
        _wins(rankings),
        _speedups(rankings),
        _most_robust(rankings),
        _cases(
            f"On {{}} the runner-up is within {percent(CLOSE - 1)}, so that either "
            "will do",
            [r for r in rankings if r.close],
        ),
        _memory(rankings),
        f"{_tally(rankings, 'strategy')} {_tally(rankings, 'library')}".strip(),
        *(_wrong(rankings, kind) for kind in ("strategy", "auto", "library")),
        *(_failure(r) for r in rankings if not any(x.outcome == "ok" for x in r.rows)),
        f"The run was interrupted: {len(report.cases)} of "
        f"{count(report.planned, 'problem')} finished."
        if report.interrupted
        else "",
        _load(report),
        _cases(
            "Other processes disturbed the times of {}",
            [r for r in rankings if r.case.unstable],
        ),
    )
    return [sentence for sentence in sentences if sentence]


def ranking_sentence(ranking: Ranking) -> str:
    """State the result of one case."""
    winner, second = ranking.winner, ranking.runner_up
    if winner is None:
        correct = [name(row.strategy) for row in ranking.rows if row.outcome == "ok"]
        untimed = f"{enumerated(correct)} agree; nothing was timed."
        return untimed if correct else _failure(ranking)
    text = f"{name(winner.strategy)} is the fastest: {seconds(winner.time_s)}"
    lead = ranking.relative_time(second)
    if second is not None and lead is not None:
        factor = f"{ratio(lead)} as fast as"
        compared = "within noise of" if ranking.within_noise else factor
        text += f", {compared} {name(second.strategy)}"
    if ranking.speedup is not None and ranking.find(BASELINE) not in {winner, second}:
        about = "about " if ranking.extrapolated else ""
        text += f" and {about}{ratio(ranking.speedup)} as fast as {name(BASELINE)}"
    return f"{text}."


def crossover_sentences(series: Series) -> list[str]:
    """State which method overtakes which as a workload grows."""
    parameter = series.rankings[0].case.parameter or "size"
    return [
        f"From about {rounded(found.size)} {parameter} on, {name(found.after)} "
        f"overtakes {name(found.before)}."
        for found in series.crossovers()
    ]


def _costliest(rankings: Sequence[Ranking]) -> str:
    """State where automatic selection costs most, unless that is noise."""
    known = [each for each in comparisons(rankings) if each.over_strategy]
    worst = max(known, key=lambda each: each.over_strategy or 0.0, default=None)
    if worst is None or worst.strategy is None or even(worst.auto, worst.strategy):
        return ""
    return (
        f"The choice of {name('auto')} costs most on {name(worst.ranking.case.name)}: "
        f"{ratio(worst.over_strategy)} the time of {name(worst.strategy.strategy)}."
    )


def _compiled(rankings: Sequence[Ranking]) -> str:
    """State the speedup of compiling, if it was tried."""
    gains = time_ratios(rankings, "auto", "compiled")
    if not gains:
        return ""
    tried = sum(any(row.kind == "compiled" for row in r.rows) for r in rankings)
    return (
        f"Compiled, {name('auto')} is faster still on {len(gains)} of "
        f"{count(tried, 'problem')}, by {ratio(geometric_mean(gains))} as a geometric "
        "mean."
    )


def _each_library(rankings: Sequence[Ranking]) -> str:
    """List the fastest of the other libraries."""
    peers = peer_comparisons(rankings)
    if len(peers) < 2:
        return ""
    shown = peers[:_MAX_PEERS]
    listed = [f"{name(p.name)} {ratio(p.mean)} on {len(p.ratios)}" for p in shown]
    more = f" (the nearest of {len(peers)})" if len(peers) > len(shown) else ""
    return (
        f"Against each other library, over the problems that both solve, {name('auto')}"
        " is this many times as fast, as a geometric mean: "
        f"{enumerated(listed)}{more}."
    )


def _only_auto(ranking: Ranking) -> bool:
    """Whether other libraries were tried and none of them has a correct result."""
    tried = any(r.kind == "library" and r.outcome != "skipped" for r in ranking.rows)
    return tried and bool(ranking.best("auto")) and not ranking.best("library")


def _cases(
    text: str, chosen: Sequence[Ranking], rankings: Sequence[Ranking] = ()
) -> str:
    """Insert the number of the chosen cases for `{}` in a text, and list them after."""
    if not chosen:
        return ""
    return f"{text.format(count(len(chosen), 'problem'))}: {_where(chosen, rankings)}."


def _where(chosen: Sequence[Ranking], rankings: Sequence[Ranking]) -> str:
    """List cases; of the `rankings`, a workload once if all of its sizes are chosen."""
    return abbreviated([name(text) for text in case_names(chosen, rankings)])


def _wins(rankings: Sequence[Ranking]) -> str:
    won = wins(rankings)
    if not won:
        return ""
    total = count(sum(number for _, number in won), "problem")
    listed = [f"{name(method)} on {number}" for method, number in won[:_MAX_WINNERS]]
    listed[0] = f"{name(won[0][0])} is the fastest on {won[0][1]} of {total}"
    if others := won[_MAX_WINNERS:]:
        listed.append(f"{len(others)} others on {sum(n for _, n in others)}")
    return f"{enumerated(listed)}."


def _speedups(rankings: Sequence[Ranking]) -> str:
    found = [(r.speedup, r) for r in rankings if r.speedup is not None]
    if not found:
        return ""
    largest, where = max(found, key=lambda item: item[0])
    text = (
        f"Against the plain loop, {name(BASELINE)}, the fastest method is "
        f"{ratio(median(factor for factor, _ in found))} as fast in the median of "
        f"{count(len(found), 'problem')}, and {ratio(largest)} at most, on "
        f"{name(where.case.name)}"
    )
    if extrapolated := sum(ranking.extrapolated for _, ranking in found):
        text += f" (the loop's time is extrapolated on {extrapolated})"
    return f"{text}."


def _most_robust(rankings: Sequence[Ranking]) -> str:
    found = most_robust(rankings)
    if found is None or len(wins(rankings)) < 2:
        return ""
    loss, method, where = found
    return (
        f"Of the strategies that are correct on every problem, {name(method)} loses "
        f"least in its worst case, and still takes {ratio(loss)} the time of the "
        f"fastest on {name(where.case.name)}."
    )


def _memory(rankings: Sequence[Ranking]) -> str:
    known = [r for r in rankings if r.winner and r.winner in r.pareto_front]
    if not known:
        return ""
    frugal = sum(len(r.pareto_front) == 1 for r in known)
    text = (
        f"The fastest is also the one with the least memory on {frugal or 'none'} of "
        f"{count(len(known), 'problem')}"
    )
    if others := [r for r in known if len(r.pareto_front) > 1]:
        where = max(others, key=_saving)
        least = where.pareto_front[-1]
        text += (
            f"; on {name(where.case.name)}, {name(least.strategy)} needs "
            f"{size(least.memory_bytes)}, {ratio(_saving(where))} less, at "
            f"{ratio(where.relative_time(least))} the time"
        )
    return f"{text}."


def _saving(ranking: Ranking) -> float:
    """Divide the winner's memory by the least of all verified candidates."""
    first, last = ranking.pareto_front[0], ranking.pareto_front[-1]
    return (first.memory_bytes or 0) / max(last.memory_bytes or 1, 1)


def _tally(rankings: Sequence[Ranking], kind: Kind) -> str:
    """Count the outcomes of all methods of a kind."""
    tried = [r for r in rankings if r.rows]
    every = sum((ranking.outcomes(kind) for ranking in tried), Counter[str]())
    total = every.total()
    if not total:
        return ""
    correct, unsupported = every["ok"], every["unsupported"]
    wrong = sum(every[outcome] for outcome in WRONG)
    nouns = ("strategy", "strategies")
    if kind == "library":
        nouns = ("method of other libraries", "methods of other libraries")
    return (
        f"Of {total} combinations of "
        f"{count(len(competitors(tried, kind)), *nouns)} with "
        f"{count(len(tried), 'problem')}, {correct} "
        f"{'agrees' if correct == 1 else 'agree'} with plain autograd ({wrong} wrong, "
        f"{unsupported} unsupported, {total - correct - wrong - unsupported} not "
        "finished)."
    )


def _wrong(rankings: Sequence[Ranking], kind: Kind) -> str:
    """List the methods of a kind with wrong results, and where."""
    found: dict[str, list[Ranking]] = {}
    for ranking in rankings:
        for row in ranking.rows:
            if row.outcome in WRONG and row.kind == kind:
                found.setdefault(row.strategy, []).append(ranking)
    if not found:
        return ""
    listed = [f"{name(m)} on {_where(cases, rankings)}" for m, cases in found.items()]
    source = " of other libraries" if kind == "library" else ""
    return f"Wrong results{source} were detected and excluded: {'; '.join(listed)}."


def _failure(ranking: Ranking) -> str:
    """State that there is no result, and why if that is known."""
    reason = f": {ranking.case.failure}" if ranking.case.failure else ""
    return f"There is no result for {name(ranking.case.name)}{reason.rstrip('.')}."


def _load(report: Report) -> str:
    load, cores = report.machine.load, report.machine.cores
    if load is None or load <= BUSY * cores:
        return ""
    return (
        f"The machine was busy when this began (load {load:.1f} on "
        f"{count(cores, 'core')}), so that times may be off."
    )
