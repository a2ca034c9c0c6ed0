"""The few figures at the top of a page."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from jacengine.report.formatting import percent, ratio
from jacengine.report.peer_comparison import (
    WITHIN,
    gains_over_libraries,
    geometric_mean,
    regrets,
)
from jacengine.report.ranking import BASELINE, Standing, wins
from jacengine.report.sentences_auto import within


def numbers(standings: Sequence[Standing]) -> list[tuple[str, str]]:
    """List the few figures that stand out, each with what it is."""
    solved = [s for s in standings if s.winner is not None]
    if not solved:
        return []
    about_auto = _about_auto(standings)
    solved_of = f"{len(solved)} of {len(standings)}"
    said = [*about_auto, (solved_of, "problems solved, every result verified")]
    if not about_auto:
        said.append((f"{len(wins(standings))}", "methods are the fastest somewhere"))
    gains = [s.gain for s in solved if s.gain is not None]
    if gains:
        said.append((ratio(median(gains)), f"as fast as {BASELINE}, in the median"))
    slowest = [s.relative(s.ranked[-1]) or 1.0 for s in solved]
    said.append((ratio(max(slowest)), "from the best to the worst choice, at most"))
    return said


def _about_auto(standings: Sequence[Standing]) -> list[tuple[str, str]]:
    found = regrets(standings)
    if not found:
        return []
    near, total, noun = within(standings, found)
    share = percent(WITHIN - 1)
    said = [
        (
            f"{near} of {total}",
            f"{noun}s where auto is within {share} of the best strategy",
        )
    ]
    gains = gains_over_libraries(standings)
    if gains:
        mean = ratio(geometric_mean(gains))
        said.append((mean, "as fast as the best other library, in the geometric mean"))
    return said
