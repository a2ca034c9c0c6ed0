"""Made-up results with known answers."""

from collections.abc import Sequence
from dataclasses import replace

from jacengine.report import Case, Machine, Report, Row
from jacengine.sweep.case_spec import CaseSpec, Settings
from jacengine.sweep.journal import Manifest
from jacengine.sweep.roofline import Roofline

MACHINE = Machine(
    cpu="Processor 3 @ 2.00GHz",
    cores=2,
    memory_bytes=8 * 10**9,
    gpu="",
    system="Linux x86_64",
    python="3.11.7",
    torch="2.13.0",
    threads=2,
    instructions="AVX2",
    matmul_precision="highest",
    jacengine="0.1.0",
    commit="",
    dirty=False,
    load=None,
    date="2026-11-21 09:00 UTC",
)


def row(
    strategy: str, times: Sequence[float] = (), outcome: str = "ok", **others: object
) -> Row:
    made = Row(strategy, outcome, times=tuple(times), runs=len(times))
    if times:
        made = replace(made, time_s=sorted(times)[len(times) // 2])
    return replace(made, **others)  # type: ignore[arg-type]


def case(name: str, *rows: Row, failure: str = "") -> Case:
    workload, _, size = name.partition("/")
    return Case(
        name, "A case.", rows, workload=workload, size=int(size or 1), failure=failure
    )


def report(*cases: Case, machine: Machine = MACHINE) -> Report:
    return Report(cases, machine, "jacengine bench", len(cases))


def manifest(
    *specs: CaseSpec, settings: Settings | None = None, **others: object
) -> Manifest:
    made = Manifest(
        {"sizes": ["small"], "shard": [1, 1]},
        settings or Settings(),
        specs,
        MACHINE,
        "jacengine bench",
        Roofline(1e10, 1e11),
    )
    return replace(made, **others)  # type: ignore[arg-type]
