import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from jacengine.bench.baselines import BASELINES
from jacengine.report import Case
from jacengine.sweep.case_spec import CaseSpec, Settings
from jacengine.sweep.worker_supervisor import WorkerProcess, WorkerSupervisor

pytestmark = pytest.mark.slow
KEPT = frozenset({"double loop", "vmap(jacrev)"})
HARMFUL = Settings(
    strategies=("vmap_vjp",),
    exclude=tuple(b.name for b in BASELINES if b.name not in KEPT),
    catalogue="tests.sweep.fakes:HARMFUL",
)


@pytest.fixture(scope="module")
def supervisor() -> Iterator[WorkerSupervisor]:
    """Share one supervisor between the tests."""
    with WorkerSupervisor(HARMFUL, limit_s=60) as made:
        yield made


def measured(supervisor: WorkerSupervisor, name: str) -> Case:
    return supervisor.measure(CaseSpec(name, 3, threads=1), lambda _: None)


def test_a_case_is_measured(supervisor: WorkerSupervisor) -> None:
    announced: list[str] = []

    case = supervisor.measure(CaseSpec("one", 3, threads=1), announced.append)

    assert {row.strategy: row.outcome for row in case.rows} == {
        "auto": "ok",
        "vmap_vjp": "ok",
        "double loop": "ok",
        "vmap(jacrev)": "ok",
    }
    assert all(len(row.times) >= 3 for row in case.rows)
    assert (case.outputs, case.inputs, case.samples, case.threads) == (3, 3, 2, 1)
    assert case.rows[0].picked == "vmap_vjp"
    assert announced[0] == "auto"
    assert "vmap(jacrev)" in announced


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("crashes", "crash while auto ran: .* exit code 3: last words"),
        ("is_killed", "crash while auto ran: .* ended by SIGKILL"),
        ("raises", r"ValueError: no \[bold\]3\[/\] today"),
        ("misfits", "floating"),
    ],
)
def test_a_crash_costs_one_case(
    supervisor: WorkerSupervisor, name: str, message: str
) -> None:
    failed = measured(supervisor, name)
    after = measured(supervisor, "one")

    assert failed.name == f"{name}/3/t1"
    assert failed.rows == ()
    assert re.search(message, failed.failure), failed.failure
    assert {row.outcome for row in after.rows} == {"ok"}


def test_a_library_that_crashes_costs_one_row(supervisor: WorkerSupervisor) -> None:
    case = measured(supervisor, "alone")

    found = {row.strategy: row for row in case.rows}
    assert found["double loop"].outcome == "crash"
    assert "exit code 9" in found["double loop"].notes
    assert found["vmap(jacrev)"].outcome == "ok"
    assert found["auto"].outcome == "ok"


def test_plugins_that_crash_and_hang_cost_their_rows() -> None:
    settings = replace(
        HARMFUL,
        strategies=("vmap_vjp", "crashing", "hanging"),
        catalogue="tests.sweep.fake_plugins:WORKLOADS",
    )
    with WorkerSupervisor(settings, limit_s=15) as supervisor:
        case = measured(supervisor, "one")
    found = {row.strategy: row for row in case.rows}
    assert (found["auto"].outcome, found["vmap_vjp"].outcome) == ("ok", "ok")
    assert found["crashing"].outcome == "crash"
    assert "exit code 7" in found["crashing"].notes
    assert found["hanging"].outcome == "timeout"


def test_a_hung_worker_is_killed() -> None:
    with WorkerSupervisor(HARMFUL, limit_s=0.5) as supervisor:
        case = measured(supervisor, "hangs")

    assert case.failure.startswith("timeout while auto ran: the time limit")


def test_the_roofline_is_measured(supervisor: WorkerSupervisor) -> None:
    found = supervisor.roofline("cpu", 1)

    assert found is not None
    assert found.fill > 0
    assert found.matmul > 0


def test_no_worker_outlives_its_parent() -> None:
    """Kill the parent as `kill -9` does: it cannot clean up."""
    code = (
        "from jacengine.sweep.worker_supervisor import WorkerProcess; import os;"
        "w = WorkerProcess(1); print(w._process.pid, flush=True);"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, text=True
    )
    worker = int(done.stdout)

    until = time.monotonic() + 20
    while _runs(worker) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(worker)


def test_a_worker_says_why_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(Exception, match="exit code 1"):
        WorkerProcess(1)


def _runs(number: int) -> bool:
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
