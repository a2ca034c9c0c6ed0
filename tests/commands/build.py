"""The commands, called as from a shell, without a worker."""

from collections.abc import Callable
from dataclasses import replace

from click.testing import CliRunner, Result

from jacengine.commands import main
from jacengine.report import Case
from jacengine.sweep.case_spec import Settings, Trial
from jacengine.sweep.roofline import Rates
from tests.sweep.build import row

FAKES = ("--catalogue", "tests.sweep.fakes:FINE")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def answered(trial: Trial) -> Case:
    """Make a case up."""
    rows = (
        row("auto", [1e-3, 1.1e-3, 1.2e-3], kind="auto", picked="vmap_vjp"),
        row("vmap_vjp", [1e-3, 1.05e-3, 1.1e-3], peak_bytes=1000),
        row("a [b]", outcome="error", notes="[/] \x1b[31m <script>", kind="library"),
    )
    return Case(
        trial.name,
        "A [case].",
        rows,
        workload=trial.workload,
        size=trial.size,
        threads=1,
    )


class FakePool:
    """Makes cases up instead of measuring them."""

    answer: Callable[[Trial], Case] = staticmethod(answered)

    def __init__(
        self, settings: Settings, libraries: frozenset[str], limit_s: float
    ) -> None:
        self.settings = settings

    def __enter__(self) -> "FakePool":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def measure(self, trial: Trial, tell: Callable[[str], None]) -> Case:
        tell("auto")
        return type(self).answer(trial)

    def rates(self, device: str, threads: int | None) -> Rates:
        return Rates(1e10, 1e11)


def failing(trial: Trial) -> Case:
    return replace(answered(trial), rows=(), failure="crash: [gone]")
