"""What all figures together say, in sentences; none that they do not bear out."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from jacengine.report.case import Kind, Report
from jacengine.report.formatting import (
    Name,
    Sentence,
    count,
    few,
    joined,
    percent,
    ratio,
    size,
)
from jacengine.report.ranking import (
    BASELINE,
    CLOSE,
    Standing,
    competitors,
    safest,
    wins,
)
from jacengine.report.scaling import places
from jacengine.report.sentence_verdicts import failed
from jacengine.report.sentences_auto import auto_answers, auto_headline

WRONG = ("wrong", "nonfinite")
BUSY = 0.5
"""A load above this share of the cores disturbs times."""
_MOST = 6
"""So many winners are named."""


def headline(standings: Sequence[Standing]) -> str:
    """Say the most important thing in a line."""
    about_auto = auto_headline(standings)
    if about_auto:
        return about_auto
    won = wins(standings)
    cases = count(sum(number for _, number in won), "problem")
    if not won:
        return "Nothing was computed"
    if len(won) == 1:
        return f"One method is the fastest on {cases}"
    return f"No method is always the fastest: {cases}, {len(won)} winners"


def answers(report: Report, standings: Sequence[Standing]) -> list[Sentence]:
    """Say what the report as a whole shows, the most important first."""
    said = (
        *auto_answers(standings),
        _wins(standings),
        _gains(standings),
        _one_for_all(standings),
        _close(standings),
        _memory(standings),
        _verified(standings),
        _caught(standings, "strategy"),
        _caught(standings, "auto"),
        _caught(standings, "library"),
        *(failed(s) for s in standings if not _solved(s)),
        _interrupted(report),
        _busy(report),
        _unstable(standings),
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
    rest: list[Sentence] = [(Name(name), f" on {n}") for name, n in won[1:_MOST]]
    others = won[_MOST:]
    if others:
        number = sum(number for _, number in others)
        rest.append((f"{len(others)} others on {number}",))
    return (*joined([first, *rest]), ".")


def _gains(standings: Sequence[Standing]) -> Sentence:
    gains = [(s.gain, s) for s in standings if s.gain is not None]
    if not gains:
        return ()
    largest, where = max(gains, key=lambda item: item[0])
    said: Sentence = (
        "Against the plain loop, ",
        Name(BASELINE),
        f", the fastest method is {ratio(median(g for g, _ in gains))} as fast in "
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
    return (
        f"On {count(len(close), 'problem')} the runner-up is within "
        f"{percent(CLOSE - 1)}, so that "
        "either will do: ",
        *few(close),
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
    tried = [s for s in standings if s.rows]
    said = [
        _tally(tried, "strategy", ("strategy", "strategies")),
        _tally(
            tried,
            "library",
            ("method of other libraries", "methods of other libraries"),
        ),
    ]
    return tuple(part for sentence in said for part in sentence)


def _tally(tried: Sequence[Standing], kind: Kind, noun: tuple[str, str]) -> Sentence:
    outcomes = [s.outcomes(kind) for s in tried]
    total = sum(found.total() for found in outcomes)
    if not total:
        return ()
    right = sum(found["ok"] for found in outcomes)
    verb = "agree" if right != 1 else "agrees"
    declined = sum(found["unsupported"] for found in outcomes)
    wrong = sum(found[name] for found in outcomes for name in WRONG)
    other = total - right - declined - wrong
    names = count(len(competitors(tried, kind)), *noun)
    return (
        f"{' ' if kind == 'library' else ''}Of {total} combinations of {names} with "
        f"{count(len(outcomes), 'problem')}, {right} {verb} with plain autograd "
        f"({wrong} wrong, {declined} unsupported, {other} not finished).",
    )


def _caught(standings: Sequence[Standing], kind: Kind) -> Sentence:
    caught: dict[str, list[Standing]] = {}
    for standing in standings:
        for row in standing.rows:
            if row.outcome in WRONG and row.kind == kind:
                caught.setdefault(row.strategy, []).append(standing)
    if not caught:
        return ()
    told = [
        (Name(name), " on ", *few(places(where, standings)))
        for name, where in caught.items()
    ]
    whose = " of other libraries" if kind == "library" else ""
    return (
        f"Wrong results{whose} were found out and take no part: ",
        *joined(told, between="; "),
        ".",
    )


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


def _unstable(standings: Sequence[Standing]) -> Sentence:
    disturbed = [Name(s.case.name) for s in standings if s.case.unstable]
    if not disturbed:
        return ()
    return (
        f"Other work disturbed the times of {count(len(disturbed), 'problem')}: ",
        *few(disturbed),
        ".",
    )


def _solved(standing: Standing) -> bool:
    return any(row.outcome == "ok" for row in standing.rows)
