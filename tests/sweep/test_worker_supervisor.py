import re
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from jacengine.bench.baselines import BASELINES
from jacengine.report import Case
from jacengine.sweep.case_spec import Settings, Trial
from jacengine.sweep.process import WorkerProcess
from jacengine.sweep.run import unsolved
from jacengine.sweep.worker_supervisor import Pool

pytestmark = pytest.mark.slow
KEPT = frozenset({"double loop", "vmap(jacrev)"})
HARMFUL = Settings(
    strategies=("vmap_vjp",),
    exclude=tuple(b.name for b in BASELINES if b.name not in KEPT),
    catalogue="tests.sweep.fakes:HARMFUL",
)


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """Keep one worker, or its successors, for all tests."""
    with Pool(HARMFUL, KEPT, limit_s=60) as made:
        yield made


def measured(pool: Pool, name: str) -> Case:
    return pool.measure(Trial(name, 3, threads=1), lambda _: None)


def test_a_case_is_measured(pool: Pool) -> None:
    heard: list[str] = []

    case = pool.measure(Trial("one", 3, threads=1), heard.append)

    assert {row.strategy: row.outcome for row in case.rows} == {
        "auto": "ok",
        "vmap_vjp": "ok",
        "double loop": "ok",
        "vmap(jacrev)": "ok",
    }
    assert all(len(row.times) >= 3 for row in case.rows)
    assert (case.outputs, case.inputs, case.samples, case.threads) == (3, 3, 2, 1)
    assert case.rows[0].picked == "vmap_vjp"
    assert heard[0] == "auto"
    assert "vmap(jacrev)" in heard


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("crashes", "crash while auto ran: .* exit code 3: last words"),
        ("is_killed", "crash while auto ran: .* ended by SIGKILL"),
        ("raises", r"ValueError: no \[bold\]3\[/\] today"),
        ("misfits", "floating"),
    ],
)
def test_harm_costs_one_case(pool: Pool, name: str, message: str) -> None:
    failed = measured(pool, name)
    after = measured(pool, "one")

    assert failed.name == f"{name}/3/t1"
    assert unsolved(failed)
    assert re.search(message, failed.failure), failed.failure
    assert not unsolved(after)


def test_a_library_that_crashes_costs_a_row(pool: Pool) -> None:
    case = measured(pool, "alone")

    found = {row.strategy: row for row in case.rows}
    assert found["double loop"].outcome == "crash"
    assert "exit code 9" in found["double loop"].notes
    assert found["vmap(jacrev)"].outcome == "ok"
    assert found["auto"].outcome == "ok"


def test_a_hang_is_ended() -> None:
    with Pool(HARMFUL, KEPT, limit_s=0.5) as pool:
        case = measured(pool, "hangs")

    assert case.failure.startswith("timeout while auto ran: the time limit")


def test_rates_are_measured(pool: Pool) -> None:
    rates = pool.rates("cpu", 1)

    assert rates is not None
    assert rates.fill > 0
    assert rates.matmul > 0


def test_no_worker_outlives_its_owner() -> None:
    """Kill the owner as `kill -9` does: nothing of it can clean up."""
    code = (
        "from jacengine.sweep.process import WorkerProcess; import os;"
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
