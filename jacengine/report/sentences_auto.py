"""What the figures say of `auto` and of other libraries, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from jacengine.report.case import COMPILED
from jacengine.report.formatting import (
    Name,
    Sentence,
    count,
    few,
    joined,
    percent,
    ratio,
)
from jacengine.report.peer_comparison import (
    WITHIN,
    Factors,
    gains_by_compiling,
    gains_of_compiled,
    gains_over_libraries,
    geometric_mean,
    regrets,
    rivals,
)
from jacengine.report.ranking import Standing
from jacengine.report.scaling import all_series, places


def auto_headline(standings: Sequence[Standing]) -> str:
    """Say in a line how good `auto` is; nothing if it did not take part."""
    found = regrets(standings)
    if not found:
        return ""
    near, total, noun = within(standings, found)
    said = f"auto is within {percent(WITHIN - 1)} of the best strategy on {near} of "
    said += count(total, noun)
    gains = gains_over_libraries(standings)
    mean = geometric_mean(gains) if gains else 1.0
    if mean > WITHIN:
        said += f", and {ratio(mean)} as fast as the best other library"
    return said


def auto_answers(standings: Sequence[Standing]) -> list[Sentence]:
    """Say how good `auto` is, against the best and against other libraries."""
    return [
        _near(standings),
        _rivals(gains_over_libraries(standings), Name("auto")),
        _compiled(standings),
        _each(standings),
        _alone(standings),
        _failed(standings),
    ]


def within(standings: Sequence[Standing], found: Factors) -> tuple[int, int, str]:
    """Count where `auto` loses nothing.

    A workload counts where that is so at every size at which something is right; a
    failure of `auto` is a loss.

    Returns:
        How many, of how many, and of what: workloads where there are sizes.
    """
    near = {id(standing) for standing, factor in found if factor <= WITHIN}
    raced = {id(s) for s in standings if s.auto and s.best("strategy")}
    groups = [series.standings for series in all_series(standings)]
    noun = "workload" if groups else "problem"
    groups = groups or [(standing,) for standing in standings]
    sizes = [{id(s) for s in group} & raced for group in groups]
    counted = [group for group in sizes if group]
    return sum(group <= near for group in counted), len(counted), noun


def _near(standings: Sequence[Standing]) -> Sentence:
    found = regrets(standings)
    if not found:
        return ()
    near, total, noun = within(standings, found)
    close = sum(factor <= WITHIN for _, factor in found)
    problems = f" at every size ({close} of {count(len(found), 'problem')})"
    sizes = problems if noun == "workload" else ""
    said: Sentence = (
        f"On {near} of {count(total, noun)} ",
        Name("auto"),
        f" is within {percent(WITHIN - 1)} of the best strategy{sizes}",
    )
    where, worst = max(found, key=lambda item: item[1])
    best = where.best("strategy")
    if worst > WITHIN and best is not None:
        said += (
            "; it loses most on ",
            Name(where.case.name),
            f", {ratio(worst)} the time of ",
            Name(best.strategy),
        )
    return (*said, ".")


def _compiled(standings: Sequence[Standing]) -> Sentence:
    """Say what compiling gains, if it was tried."""
    gains = gains_by_compiling(standings)
    tried = sum(any(row.kind == "compiled" for row in s.rows) for s in standings)
    if not gains:
        return ()
    mean, cases = ratio(geometric_mean(gains)), count(tried, "problem")
    said: Sentence = (
        f"Compiled, it is faster still on {len(gains)} of {cases}, by {mean} as a "
        "geometric mean. ",
    )
    return (*said, *_rivals(gains_of_compiled(standings), Name(COMPILED)))


def _rivals(gains: Factors, auto: Name) -> Sentence:
    """Compare with the fastest other library, case by case."""
    if not gains:
        return ()
    mean = geometric_mean(gains)
    cases = count(len(gains), "problem")
    if mean > WITHIN:
        said: Sentence = (
            auto,
            " beats the fastest other library by a geometric mean of "
            f"{ratio(mean)} over {cases}",
        )
    elif mean < 1 / WITHIN:
        said = (
            auto,
            f" takes {ratio(1 / mean)} the time of the fastest other library, as a "
            f"geometric mean over {cases}",
        )
    else:
        said = (
            auto,
            " is as fast as the fastest other library, as a geometric mean over "
            f"{cases}",
        )
    return (*said, *_losses([item for item in gains if item[1] < 1 / WITHIN]), ".")


def _losses(lost: Factors) -> Sentence:
    if not lost:
        return ()
    where, factor = min(lost, key=lambda item: item[1])
    library = where.best("library")
    return (
        f"; it is slower on {len(lost)}, most on ",
        Name(where.case.name),
        f", where it takes {ratio(1 / factor)} the time of ",
        Name(library.strategy if library else ""),
    )


def _each(standings: Sequence[Standing]) -> Sentence:
    """Name the nearest of the other libraries, one by one."""
    compared = [rival for rival in rivals(standings) if rival.factors]
    if len(compared) < 2:
        return ()
    told: list[Sentence] = [
        (
            Name(rival.name),
            f" {ratio(rival.mean)} on {len(rival.factors)}",
        )
        for rival in compared[:4]
    ]
    return (
        "Against each other library, over the problems that both solve, ",
        Name("auto"),
        " is this many times as fast, as a geometric mean: ",
        *joined(told),
        f" (the nearest of {len(compared)})." if len(compared) > len(told) else ".",
    )


def _alone(standings: Sequence[Standing]) -> Sentence:
    """Say where no other library has a right result, if some were tried."""
    alone = [
        s
        for s in standings
        if s.best("auto")
        and not s.best("library")
        and any(r.kind == "library" and r.outcome != "skipped" for r in s.rows)
    ]
    if not alone:
        return ()
    return (
        f"On {count(len(alone), 'problem')} no other library finished with a right "
        "result: ",
        *few(places(alone, standings)),
        ".",
    )


def _failed(standings: Sequence[Standing]) -> Sentence:
    lost = [s for s in standings if s.auto is not None and s.auto.outcome != "ok"]
    if not lost:
        return ()
    return (
        Name("auto"),
        f" has no result on {count(len(lost), 'problem')}: ",
        *few(places(lost, standings)),
        ".",
    )
