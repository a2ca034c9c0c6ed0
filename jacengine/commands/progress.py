"""The progress of a sweep, on standard error."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

from jacengine.report.case import Case
from jacengine.report.formatting import one_line, ratio, seconds
from jacengine.report.ranking import Ranking


class Progress:
    """Prints a line for each case, and on a terminal the running candidate.

    The line on a terminal changes only when something happens: a thread that animates
    it would disturb the times.
    """

    def __init__(self, total: int, console: Console, *, quiet: bool) -> None:
        """Prepare for a number of cases, which are printed unless `quiet`."""
        self.finished = 0
        self._total = total
        self._console = console
        self._quiet = quiet
        self._started = time.monotonic()
        self._case_started = self._started
        self._name = ""
        self._live: Live | None = None

    def start_case(self, name: str) -> None:
        """Begin the line of a case."""
        self._case_started = time.monotonic()
        self._name = name
        # Colour may be forced, a terminal cannot.
        terminal = sys.stderr.isatty() and not self._console.is_dumb_terminal
        if terminal and not self._quiet:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
            self.start_candidate("")

    def start_candidate(self, name: str) -> None:
        """Show the running candidate."""
        if self._live is not None:
            text = (
                f"({self.finished + 1}/{self._total}) {self._name}  {one_line(name)}  "
                f"{self._remaining()}"
            )
            self._live.update(Text(text, style="dim"), refresh=True)

    def finish_case(self, case: Case, taken_s: float | None = None) -> None:
        """Print the result of a case, which took so long, or since it was started."""
        self.finished += 1
        self.pause()
        if not self._quiet:
            if taken_s is None:
                taken_s = time.monotonic() - self._case_started
            self._console.print(
                f"({self.finished}/{self._total}) {case.name}  {_result(case)}  "
                f"[{taken_s:.1f} s] {self._remaining()}",
                markup=False,
                soft_wrap=True,
                style="red" if case.failure and not case.skipped else "",
            )

    def pause(self) -> None:
        """Remove the line of the running case, to print something else."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _remaining(self) -> str:
        """Extrapolate the remaining time from the finished cases."""
        if self.finished in {0, self._total}:
            return ""
        mean_s = (time.monotonic() - self._started) / self.finished
        return f"about {duration(mean_s * (self._total - self.finished))} left"


def _result(case: Case) -> str:
    if case.failure:
        reason = one_line(case.failure)
        return f"skipped: {reason}" if case.skipped else reason
    ranking = Ranking(case)
    winner, auto = ranking.winner, ranking.best("auto")
    if winner is None:
        return "no correct result"
    text = f"{one_line(winner.strategy)} {seconds(winner.time_s)}"
    if auto is not None:
        text += f", auto {ratio(ranking.relative_time(auto))} of it"
    return text + (", unstable" if case.unstable else "")


def duration(value: float) -> str:
    """Format a duration of seconds to hours: `40 s`, `12 min`, `1 h 5 min`."""
    if value < 90:
        return f"{value:.0f} s"
    minutes = round(value / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
