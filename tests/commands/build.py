"""The commands, called as from a shell, and a supervisor without a worker."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from click.testing import CliRunner, Result

from jacengine.commands import main
from jacengine.report import Case, Report, write_report
from jacengine.sweep.case_spec import CaseSpec, Settings
from jacengine.sweep.roofline import Roofline
from tests.sweep.build import case, row

STEADY = [1.0, 1.01, 0.99, 1.0, 1.02, 0.98]
FAKES = ("--catalogue", "tests.sweep.fakes:FINE")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def made_up(spec: CaseSpec) -> Case:
    """Return a made-up case."""
    rows = (
        row("auto", [1e-3, 1.1e-3, 1.2e-3], kind="auto", picked="vmap_vjp"),
        row("vmap_vjp", [1e-3, 1.05e-3, 1.1e-3], peak_bytes=1000),
        row("a [b]", outcome="error", notes="[/] \x1b[31m <script>", kind="library"),
    )
    return Case(
        spec.name,
        "A [case].",
        rows,
        workload=spec.workload,
        size=spec.size,
        threads=1,
    )


class FakeSupervisor:
    """Returns made-up cases instead of measuring them."""

    answer: Callable[[CaseSpec], Case] = staticmethod(made_up)

    def __init__(self, settings: Settings, limit_s: float) -> None:
        self.settings = settings

    def __enter__(self) -> "FakeSupervisor":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def measure(self, spec: CaseSpec, announce: Callable[[str], None]) -> Case:
        announce("auto")
        return type(self).answer(spec)

    def roofline(self, device: str, threads: int | None) -> Roofline:
        return Roofline(1e10, 1e11)


def failing(spec: CaseSpec) -> Case:
    return replace(made_up(spec), rows=(), failure="crash: [gone]")


def one(factor: float = 1.0, memory: int = 1000) -> Case:
    times = [factor * time for time in STEADY]
    return case("[one]/2", row("a|b", times, peak_bytes=memory))


def saved(content: Report, folder: Path) -> Path:
    write_report(content, folder)
    return folder


def threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2)
