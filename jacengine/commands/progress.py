"""What one sees of a sweep while it runs: on standard error, or nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.text import Text

from jacengine.commands.consoles import animated
from jacengine.report.case import Case
from jacengine.report.formatting import one_line, ratio, seconds
from jacengine.report.ranking import Ranking
from jacengine.sweep.case_spec import Trial


class Follower:
    """Tells of each case in one line, and on a terminal of what runs just now.

    The line on a terminal changes only when something happens: a thread that animates
    it would disturb the times.
    """

    def __init__(
        self,
        total: int,
        console: Console,
        *,
        quiet: bool,
        done: Callable[[Case], None],
    ) -> None:
        """Prepare.

        Args:
            total: How many cases there are to be.
            console: Where to tell it.
            quiet: Whether to tell nothing.
            done: Called with each finished case.
        """
        self.cases: list[Case] = []
        self._total = total
        self._console = console
        self._quiet = quiet
        self._done = done
        self._begun = time.monotonic()
        self._case_begun = self._begun
        self._name = ""
        self._live: Live | None = None

    def began(self, trial: Trial) -> None:
        """Begin the line of a case."""
        self._case_begun = time.monotonic()
        self._name = trial.name
        if animated() and not self._quiet:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
            self.at("")

    def at(self, contender: str) -> None:
        """Say who runs."""
        if self._live is not None:
            said = f"{self._place(1)} {self._name}  {one_line(contender)}"
            self._live.update(
                Text(f"{said}  {self._left()}", style="dim"), refresh=True
            )

    def finished(self, case: Case) -> None:
        """Say how a case ended."""
        self.cases.append(case)
        self.pause()
        if not self._quiet:
            taken = time.monotonic() - self._case_begun
            said = f"{self._place(0)} {case.name}  {self._result(case)}"
            self._console.print(
                f"{said}  [{taken:.1f} s] {self._left()}",
                markup=False,
                soft_wrap=True,
                style="red" if case.failure else "",
            )
        self._done(case)

    def pause(self) -> None:
        """Take the line of the running case away, to print something else."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _place(self, beginning: int) -> str:
        return f"({len(self.cases) + beginning}/{self._total})"

    def _left(self) -> str:
        """Say how long the rest takes, going by what is finished."""
        done = len(self.cases)
        if not done or done == self._total:
            return ""
        left = (time.monotonic() - self._begun) / done * (self._total - done)
        return f"about {duration(left)} left"

    def _result(self, case: Case) -> str:
        if case.failure:
            return one_line(case.failure)
        ranking = Ranking(case)
        winner, auto = ranking.winner, ranking.auto
        if winner is None:
            return "no right result"
        said = f"{one_line(winner.strategy)} {seconds(winner.time_s)}"
        if auto is not None and auto.outcome == "ok":
            said += f", auto {ratio(ranking.relative_time(auto))} of it"
        return said + (", unstable" if case.unstable else "")


def duration(value: float) -> str:
    """Write a time as people wait for it: `40 s`, `12 min`, `1 h 5 min`."""
    if value < 90:
        return f"{value:.0f} s"
    minutes = round(value / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
