"""What all figures together say, in sentences; none that they do not bear out."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from jacengine.report.case import Report
from jacengine.report.standing import (
    BASELINE,
    CLOSE,
    Standing,
    safest,
    strategies,
    wins,
)
from jacengine.report.words import (
    Name,
    Sentence,
    count,
    joined,
    listed,
    ratio,
    seconds,
    size,
)

WRONG = ("wrong", "nonfinite")
BUSY = 0.5
"""A load above this share of the cores disturbs times."""


def headline(standings: Sequence[Standing]) -> str:
    """Say the most important thing in a line."""
    won = wins(standings)
    cases = count(sum(number for _, number in won), "problem")
    if not won:
        return "No Jacobian was computed"
    if len(won) == 1:
        return f"One strategy is the fastest on {cases}"
    return f"No strategy is always the fastest: {cases}, {len(won)} winners"


def answers(report: Report, standings: Sequence[Standing]) -> list[Sentence]:
    """Say what the report as a whole shows, the most important first."""
    said = (
        _wins(standings),
        _gains(standings),
        _one_for_all(standings),
        _close(standings),
        _memory(standings),
        _verified(standings),
        _caught(standings),
        *(failed(s) for s in standings if not _solved(s)),
        _interrupted(report),
        _busy(report),
    )
    return [sentence for sentence in said if sentence]


def _wins(standings: Sequence[Standing]) -> Sentence:
    won = wins(standings)
    total = sum(number for _, number in won)
    if not won:
        return ()
    first = (
        Name(won[0][0]),
        f" is the fastest on {won[0][1]} of {count(total, 'problem')}",
    )
    rest = [(Name(name), f" on {number}") for name, number in won[1:]]
    return (*joined([first, *rest]), ".")


def _gains(standings: Sequence[Standing]) -> Sentence:
    gains = [(s.gain, s) for s in standings if s.gain is not None]
    if not gains:
        return ()
    largest, where = max(gains, key=lambda item: item[0])
    said: Sentence = (
        "Against the plain loop, ",
        Name(BASELINE),
        f", the fastest strategy is {ratio(median(g for g, _ in gains))} as fast in "
        f"the median of {count(len(gains), 'problem')}, and {ratio(largest)} at most, "
        "on ",
        Name(where.case.name),
    )
    estimated = sum(s.estimated for _, s in gains)
    if estimated:
        said += (f" (the loop's time is extrapolated on {estimated})",)
    return (*said, ".")


def _one_for_all(standings: Sequence[Standing]) -> Sentence:
    found = safest(standings)
    if found is None or len(wins(standings)) < 2:
        return ()
    name, loss, where = found
    return (
        "Of the strategies that are right on every problem, ",
        Name(name),
        f" loses least in its worst case, and still takes {ratio(loss)} the time of "
        "the fastest on ",
        Name(where.case.name),
        ".",
    )


def _close(standings: Sequence[Standing]) -> Sentence:
    close = [Name(s.case.name) for s in standings if s.close]
    if not close:
        return ()
    share = f"{CLOSE - 1:.0%}".replace("%", " %")
    return (
        f"On {count(len(close), 'problem')} the runner-up is within {share}, so that "
        "either will do: ",
        *listed(close),
        ".",
    )


def _memory(standings: Sequence[Standing]) -> Sentence:
    known = [s for s in standings if s.winner and s.front and s.winner in s.front]
    if not known:
        return ()
    frugal = sum(len(s.front) == 1 for s in known)
    said: Sentence = (
        f"The fastest is also the one with the least memory on {frugal or 'none'} of "
        f"{count(len(known), 'problem')}",
    )
    savings = [(_saving(s), s) for s in known if len(s.front) > 1]
    if savings:
        most, where = max(savings, key=lambda item: item[0])
        least = where.front[-1]
        said += (
            "; on ",
            Name(where.case.name),
            ", ",
            Name(least.strategy),
            f" needs {size(least.memory_bytes)}, {ratio(most)} less, at "
            f"{ratio(where.relative(least))} the time",
        )
    return (*said, ".")


def _saving(standing: Standing) -> float:
    """Divide the winner's memory by the least that any right candidate needs."""
    first, last = standing.front[0].memory_bytes, standing.front[-1].memory_bytes
    return (first or 0) / max(last or 1, 1)


def _verified(standings: Sequence[Standing]) -> Sentence:
    outcomes = [s.outcomes for s in standings if s.rows]
    total = sum(found.total() for found in outcomes)
    if not total:
        return ()
    right = sum(found["ok"] for found in outcomes)
    verb = "agree" if right != 1 else "agrees"
    declined = sum(found["unsupported"] for found in outcomes)
    wrong = sum(found[name] for found in outcomes for name in WRONG)
    other = total - right - declined - wrong
    names = count(len(strategies(standings)), "strategy", "strategies")
    return (
        f"Of {total} combinations of {names} with {count(len(outcomes), 'problem')}, "
        f"{right} {verb} with plain autograd ({wrong} wrong, {declined} unsupported, "
        f"{other} not finished).",
    )


def _caught(standings: Sequence[Standing]) -> Sentence:
    caught = [
        (Name(row.strategy), " on ", Name(s.case.name))
        for s in standings
        for row in s.rows
        if row.outcome in WRONG
    ]
    if not caught:
        return ()
    return ("Wrong results were found out and take no part: ", *joined(caught), ".")


def _interrupted(report: Report) -> Sentence:
    if not report.interrupted:
        return ()
    return (
        f"The run was interrupted: {len(report.cases)} of "
        f"{count(report.planned, 'problem')} finished.",
    )


def _busy(report: Report) -> Sentence:
    load, cores = report.machine.load, report.machine.cores
    if load is None or load <= BUSY * cores:
        return ()
    return (
        f"The machine was busy when this began (load {load:.1f} on "
        f"{count(cores, 'core')}), so that times may be off.",
    )


def _solved(standing: Standing) -> bool:
    return any(row.outcome == "ok" for row in standing.rows)


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
