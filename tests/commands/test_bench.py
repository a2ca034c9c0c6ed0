import csv
import io
import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from jacengine.commands import bench as module
from jacengine.report import Case, Machine
from jacengine.sweep import spread_cases
from jacengine.sweep.case_spec import CaseSpec
from jacengine.sweep.journal import FILE, read_journal
from jacengine.sweep.spread_cases import Measured
from tests.commands.build import FAKES, FakeSupervisor, failing, made_up, run
from tests.sweep.build import MACHINE


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeSupervisor]:
    """Measure nothing, and look for no settings."""

    class Fake(FakeSupervisor):
        pass

    monkeypatch.setattr(module, "WorkerSupervisor", Fake)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    return Fake


def bench(*arguments: object) -> list[str]:
    """List cases."""
    result = run("bench", *FAKES, "--list", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.split()


def test_cases_are_chosen() -> None:
    assert bench() == ["one/2", "two/2", "three/2"]
    assert bench("--sizes", "all", "-k", "one") == ["one/2", "one/3", "one/4"]
    assert bench("--sizes", "large,small", "-k", "one") == ["one/4", "one/2"]
    assert bench("--workloads", "t*") == ["two/2", "three/2"]
    assert bench("--workloads", "one,two") == ["one/2", "two/2"]
    assert bench("-k", "not t") == ["one/2"]
    assert bench("--threads", "1,2", "-k", "one") == ["one/2/t1", "one/2/t2"]
    assert bench("--dtype", "float64", "-k", "one") == ["one/2/float64"]


def test_shards() -> None:
    shares = [bench("--sizes", "all", "--shard", f"{i}/4") for i in range(1, 5)]

    assert sorted(itertools.chain(*shares)) == sorted(bench("--sizes", "all"))


def test_a_dry_run() -> None:
    result = run("bench", *FAKES, "--dry-run")

    assert result.exit_code == 0
    assert "3 cases" in result.stdout
    assert "about" in result.stdout
    assert not Path("reports").exists()


def test_a_sweep(tmp_path: Path) -> None:
    result = run("bench", *FAKES, "--out", "here")

    assert result.exit_code == 0, result.output
    assert "(1/3) one/2  vmap_vjp 1.05 ms" in result.stderr
    assert "Report: here/report.html" in result.stderr
    assert "Summary" in result.stdout
    assert "takes vmap_vjp" in result.stdout
    assert "a [b] ([/] [31m <script>)" in result.stdout
    assert "\x1b" not in result.stdout
    journal = read_journal(tmp_path / "here")
    assert journal.remaining == ()
    assert (tmp_path / "here" / "report.html").exists()


def test_results_go_to_a_folder_of_their_own() -> None:
    assert run("bench", *FAKES, "-k", "one").exit_code == 0

    [folder] = Path("reports").iterdir()
    assert folder.name.startswith("bench-")


def test_only_data_on_standard_output() -> None:
    result = run("bench", *FAKES, "--format", "json", "--out", "a", "--regret")
    assert [case["name"] for case in json.loads(result.stdout)["cases"]] == [
        "one/2",
        "two/2",
        "three/2",
    ]
    result = run("bench", *FAKES, "--format", "csv", "--out", "b")
    records = list(csv.DictReader(io.StringIO(result.stdout)))
    assert len(records) == 9
    assert records[0]["problem"] == "one/2"
    result = run("bench", *FAKES, "--format", "markdown", "--out", "c")
    assert result.stdout.startswith("#")


def test_quiet() -> None:
    result = run("bench", *FAKES, "-q", "--out", "a")

    assert "(1/3)" not in result.stderr


def test_regret() -> None:
    result = run("bench", *FAKES, "--regret", "--out", "a")

    table = result.stdout.partition("Regret of auto")[2]
    assert "1.05\N{MULTIPLICATION SIGN}" in table  # 1.1 ms over 1.05 ms


def test_results_are_not_overwritten() -> None:
    assert run("bench", *FAKES, "--out", "a").exit_code == 0

    refused = run("bench", *FAKES, "--out", "a")
    assert refused.exit_code == 2
    assert "--resume a" in refused.stderr

    assert run("bench", *FAKES, "-k", "one", "--out", "a", "--replace").exit_code == 0
    assert len(read_journal(Path("a")).cases) == 1


def test_another_report_is_not_overwritten() -> None:
    Path("a").mkdir()
    Path("a/results.json").write_text("{}")

    assert run("bench", *FAKES, "--out", "a").exit_code == 2


def test_a_skipped_case_is_no_failure(fake: type[FakeSupervisor]) -> None:
    def answer(spec: CaseSpec) -> Case:
        if spec.workload != "two":
            return made_up(spec)
        return replace(failing(spec), failure="x is not installed", skipped=True)

    fake.answer = staticmethod(answer)

    result = run("bench", *FAKES, "--out", "a")

    assert result.exit_code == 0
    assert "(2/3) two/2  skipped: x is not installed" in result.stderr
    assert "Skipped: two/2 (x is not installed)" in result.stderr
    assert "No correct method" not in result.stderr
    assert "skipped: x is not installed" in result.stdout
    assert [case.skipped for case in read_journal(Path("a")).cases].count(True) == 1


def test_a_failure_is_exit_code_3(fake: type[FakeSupervisor]) -> None:
    def answer(spec: CaseSpec) -> Case:
        return failing(spec) if spec.workload == "two" else made_up(spec)

    fake.answer = staticmethod(answer)

    result = run("bench", *FAKES, "--out", "a")

    assert result.exit_code == 3
    assert "(2/3) two/2  crash: [gone]" in result.stderr
    assert "No correct method on: two/2" in result.stderr
    assert len(read_journal(Path("a")).cases) == 3


def interrupted(supervisor: type[FakeSupervisor], at: str) -> None:
    """Sweep into `a`, and press Ctrl-C twice during a case."""

    def answer(spec: CaseSpec) -> Case:
        if spec.workload == at:
            raise KeyboardInterrupt
        return made_up(spec)

    supervisor.answer = staticmethod(answer)
    result = run("bench", *FAKES, "--seed", "3", "--out", "a")
    supervisor.answer = staticmethod(made_up)
    assert result.exit_code == 130, result.output
    assert "jacengine bench --resume a" in result.stderr


def test_an_interrupted_sweep_is_resumed(fake: type[FakeSupervisor]) -> None:
    interrupted(fake, "two")
    assert len(read_journal(Path("a")).cases) == 1

    result = run("bench", *FAKES, "--resume", "a")

    assert result.exit_code == 0, result.output
    assert "(1/2) two/2" in result.stderr
    assert "one/2" in result.stdout  # the summary is of all
    assert [case.name for case in read_journal(Path("a")).cases] == [
        "one/2",
        "two/2",
        "three/2",
    ]


def test_an_interruption_at_once(fake: type[FakeSupervisor]) -> None:
    interrupted(fake, "one")

    assert not Path("a/report.html").exists()
    assert run("bench", *FAKES, "--resume", "a").exit_code == 0


def test_resuming_with_the_same_options_is_fine(fake: type[FakeSupervisor]) -> None:
    interrupted(fake, "two")

    assert run("bench", *FAKES, "--seed", "3", "--resume", "a").exit_code == 0


@pytest.mark.parametrize(
    "options",
    [
        ("--seed", "4"),
        ("--sizes", "large"),
        ("--no-peers",),
        ("--strategies", "vmap_vjp"),
        ("--effort", "thorough"),
        ("-k", "one"),
    ],
)
def test_resuming_otherwise_is_refused(
    fake: type[FakeSupervisor], options: tuple[str, ...]
) -> None:
    interrupted(fake, "two")

    result = run("bench", "--resume", "a", *options)

    assert result.exit_code == 2
    assert "a was started with" in result.stderr
    assert len(read_journal(Path("a")).cases) == 1


def test_resuming_on_another_machine_is_refused(
    fake: type[FakeSupervisor],
) -> None:
    interrupted(fake, "two")
    path = Path("a") / FILE
    first, *rest = path.read_text().split("\n")
    manifest = json.loads(first)
    manifest["machine"]["cpu"] = "Another"
    path.write_text("\n".join([json.dumps(manifest), *rest]))

    result = run("bench", *FAKES, "--resume", "a")

    assert result.exit_code == 4
    assert "other conditions" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sizes", "smalls"), "Did you mean 'small'"),
        (("--sizes", ","), "expected a value"),
        (("--workloads", "onee"), "Did you mean 'one'"),
        (("--strategies", "vmap_vpj"), "Did you mean 'vmap_vjp'"),
        (("--exclude", "vmap(jacrew)"), "Did you mean 'vmap(jacrev)'"),
        (("--dtype", "float23"), "Did you mean 'float"),
        (("--device", "gpu"), "neither 'cpu' nor 'cuda'"),
        (("--device", "cuda:99"), "there is no 'cuda:99'"),
        (("--threads", "0"), "not in the range"),
        (("--threads", "many"), "not a valid integer"),
        (("--memory-budget", "much"), "is not a size"),
        (("--effort", "none"), "'quick', 'thorough'"),
        (("--shard", "0/2"), "no shard"),
        (("--shard", "3/2"), "no shard"),
        (("--shard", "9/9"), "only 3 cases"),
        (("--seed", "-1"), "range"),
        (("-k", "one and"), "cannot be read"),
        (("-k", "four"), "leaves no case"),
        (("--format", "xml"), "'json'"),
        (("--catalogue", "tests.sweep.fakes:FIN"), "Did you mean 'FINE'"),
        (("--resume", "nowhere"), "no sweep in nowhere"),
        (("--worklods", "one"), "--workloads"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], message: str) -> None:
    result = run("bench", *FAKES, *arguments)

    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_resume_has_its_own_folder(fake: type[FakeSupervisor]) -> None:
    interrupted(fake, "two")

    assert run("bench", "--resume", "a", "--out", "b").exit_code == 2


def test_a_folder_that_cannot_be_written() -> None:
    Path("file").write_text("")

    result = run("bench", *FAKES, "--out", "file/below")

    assert result.exit_code == 2
    assert "file/below" in result.stderr
    assert "Traceback" not in result.output


def test_what_is_left_is_listed(fake: type[FakeSupervisor]) -> None:
    interrupted(fake, "two")

    result = run("bench", *FAKES, "--resume", "a", "--list")

    assert result.stdout.split() == ["two/2", "three/2"]


def measured(spec: CaseSpec, *_: object) -> Measured:
    return Measured(made_up(spec), 1.5, MACHINE)


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> str:
    """Make up what workers measure; threads see what is patched."""
    monkeypatch.setattr(spread_cases, "measure_case", measured)
    monkeypatch.setattr(module, "describe_worker", lambda *_: (MACHINE, None))
    return "tests.commands.build:threads"


def test_an_executor_measures_the_same_cases(executor: str) -> None:
    result = run("bench", *FAKES, "--executor", executor, "--out", "a")

    assert result.exit_code == 0, result.output
    assert "warning: cases that run side by side disturb" in result.stderr
    assert "another machine" not in result.stderr
    assert result.stderr.count("[1.5 s]") == 3
    journal = read_journal(Path("a"))
    assert {case.name for case in journal.cases} == {"one/2", "two/2", "three/2"}
    assert not journal.remaining
    assert journal.manifest.machine == MACHINE


def test_cases_of_other_machines_are_named(
    executor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(MACHINE, cpu="Another")
    monkeypatch.setattr(module, "describe_worker", lambda *_: (other, None))

    result = run("bench", *FAKES, "--executor", executor, "--out", "a")

    assert "one/2 was measured on another machine (processor:" in result.stderr


def test_a_sweep_by_an_executor_is_resumed(
    executor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupting(spec: CaseSpec, *_: object) -> Measured:
        if spec.workload == "two":
            raise KeyboardInterrupt
        return measured(spec)

    here = Machine.here()
    monkeypatch.setattr(module, "describe_worker", lambda *_: (here, None))
    monkeypatch.setattr(spread_cases, "measure_case", interrupting)
    result = run("bench", *FAKES, "--executor", executor, "--out", "a")
    assert result.exit_code == 130, result.output
    monkeypatch.setattr(spread_cases, "measure_case", measured)

    result = run("bench", *FAKES, "--executor", executor, "--resume", "a")

    assert result.exit_code == 0, result.output
    journal = read_journal(Path("a"))
    assert not journal.remaining
    assert len(journal.cases) == 3


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("concurrent.futures", "expected MODULE:NAME"),
        ("concurrent.futures:ProcessPool", "Did you mean"),
        ("collections:OrderedDict", "expected an executor"),
    ],
)
def test_executors_that_are_none(place: str, message: str) -> None:
    result = run("bench", *FAKES, "--executor", place, "--out", "a")

    assert result.exit_code == 2, result.output
    assert message in result.stderr
