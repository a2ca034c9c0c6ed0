"""Files, folders and names that someone else has had a hand in."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import jacengine
from jacengine._files import replace_file
from jacengine.errors import ArgumentError
from jacengine.sweep.case_spec import CaseSpec
from jacengine.sweep.journal import FILE, create_journal, read_journal, resume_journal
from tests.commands.build import run
from tests.problems import mlp, randn
from tests.sweep.build import manifest

X = randn(5, 3)
NAMES = ["reverse_loop", "batched_grad"]


@pytest.fixture
def cache(choices: Path) -> Path:
    return choices


def planned() -> jacengine.Plan:
    torch.manual_seed(0)
    return jacengine.plan(mlp(3, 4, 2), X, batch_dim=0, strategies=NAMES)


def cached(folder: Path) -> Path:
    planned()
    (file,) = folder.glob("*.json")
    return file


def test_clear_deletes_what_is_of_the_cache_alone(cache: Path) -> None:
    file = cached(cache)
    foreign = [cache / "notes.json", cache / f"{'0' * 64}.json"]
    foreign[0].write_text("{}")
    foreign[1].symlink_to(foreign[0])
    result = run("cache", "clear")
    assert "1 choice deleted" in result.stdout
    assert not file.exists()
    assert all(path.exists() for path in foreign)


def test_a_pipe_in_the_place_of_a_choice_is_ignored(cache: Path) -> None:
    file = cached(cache)
    file.unlink()
    os.mkfifo(file)
    assert planned().selection.source == "measured"
    assert run("cache", "list").exit_code == 0


def test_a_pipe_is_no_plan(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "plan")
    with pytest.raises(OSError, match="no regular file"):
        jacengine.load_plan(tmp_path / "plan", mlp(3, 4, 2), X, batch_dim=0)


def set_method(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        document["candidates"][0]["method"][name] = value

    return change


def set_candidate(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        document["candidates"][0][name] = value

    return change


IMPOSSIBLE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no directions": set_method("chunk_size", 0),
    "a part of a direction": set_method("chunk_size", 2.5),
    "no samples": set_method("slice_size", 0),
    "no number": set_candidate("time_s", float("nan")),
    "no end": set_candidate("time_s", float("inf")),
    "too much": set_candidate("predicted_bytes", 10**400),
    "too long": set_candidate("time_s", 10**400),
    "another cost": lambda d: d.update(cost_s=10**400),
    "no budget": lambda d: d.update(budget=-1),
    "a word": set_method("chunk_size", "two"),
    "another policy": set_method("sample_policy", "by magic"),
}


@pytest.mark.parametrize("change", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_impossible_values(
    cache: Path, tmp_path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    file = cached(cache)
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert planned().selection.source == "measured"
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ArgumentError, match=r"plan\.json"):
        jacengine.load_plan(path, mlp(3, 4, 2), X, batch_dim=0)


def test_a_plan_is_replaced_at_once(tmp_path: Path) -> None:
    target, link = tmp_path / "precious", tmp_path / "plan.json"
    target.write_text("as it was")
    link.symlink_to(target)
    planned().save(link)
    assert target.read_text() == "as it was"
    assert not link.is_symlink()
    assert jacengine.load_plan(link, mlp(3, 4, 2), X, batch_dim=0)(X).shape == (5, 2, 3)


def test_a_plan_without_entries_is_read_again(tmp_path: Path) -> None:
    x = randn(0, 3)
    options: Any = {"batch_dim": 0, "strategies": NAMES}
    jacengine.plan(mlp(3, 2), x, **options).save(tmp_path / "plan.json")
    plan = jacengine.load_plan(tmp_path / "plan.json", mlp(3, 2), x, batch_dim=0)
    assert plan(x).shape == (0, 2, 3)


def test_no_temporary_files_stay(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        replace_file(tmp_path / "folder", "text")
    with pytest.raises(UnicodeEncodeError):
        replace_file(tmp_path / "file", "\ud800")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_one_warning_for_a_cache_that_cannot_be_written(cache: Path) -> None:
    cache.write_text("a file")
    with pytest.warns(UserWarning, match="cannot be kept"):
        planned()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        planned()


@pytest.mark.slow
def test_two_sweeps_in_one_folder_exclude_each_other(tmp_path: Path) -> None:
    with create_journal(tmp_path, manifest(CaseSpec("one", 2))):
        pass
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from jacengine.sweep.journal import resume_journal\n"
        "from jacengine.errors import ArgumentError\n"
        "try:\n"
        "    with resume_journal(Path(sys.argv[1])):\n"
        "        print('measures')\n"
        "except ArgumentError as error:\n"
        "    print(error)\n"
    )
    other = [sys.executable, "-c", script, str(tmp_path)]
    with resume_journal(tmp_path):
        held = subprocess.run(other, capture_output=True, text=True, check=True)
    free = subprocess.run(other, capture_output=True, text=True, check=True)
    assert "Another process is measuring" in held.stdout
    assert free.stdout == "measures\n"
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_journal_that_is_a_link_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with create_journal(tmp_path / "b", manifest(CaseSpec("one", 2))):
        pass
    (tmp_path / "a" / FILE).symlink_to(tmp_path / "b" / FILE)
    with (
        pytest.raises(ArgumentError, match="symbolic link"),
        resume_journal(tmp_path / "a"),
    ):
        pass


@pytest.mark.slow
def test_resuming_runs_no_code_that_a_folder_names(tmp_path: Path) -> None:
    trap = tmp_path / "trap.py"
    trap.write_text("raise SystemExit('the code of the folder ran')")
    made = manifest(CaseSpec("one", 2))
    made.options["catalogue"] = "trap:WORKLOADS"  # type: ignore[index]
    with create_journal(tmp_path / "sweep", made):
        pass
    result = subprocess.run(
        [sys.executable, "-P", "-m", "jacengine", "bench", "--resume", "sweep"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert "the code of the folder ran" not in result.stderr


@pytest.mark.slow
def test_modules_of_the_current_folder_shadow_none(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('shadowed')")
    (tmp_path / "psutil.py").write_text("raise SystemExit('shadowed')")
    result = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "jacengine", "bench", "--out", "sweep"),
            *("-k", "neural_ode", "--sizes", "small", "--strategies", "reverse_loop"),
            *("--no-peers", "--time-limit", "60"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "shadowed" not in result.stdout + result.stderr
    assert (tmp_path / "sweep" / "report.html").exists(), result.stderr


@pytest.mark.parametrize(
    "content", ["[]", "3", '{"sweep": 2}', '{"sweep": 2, "cases": 3}', "\x1b[31m"]
)
def test_hostile_journals_get_one_line(
    tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sweep").mkdir()
    Path("sweep", FILE).write_text(content + "\n")
    result = run("bench", "--resume", "sweep")
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert "\x1b" not in result.stderr
    with pytest.raises(ArgumentError):
        read_journal(Path("sweep"))


@pytest.mark.parametrize(
    "setting",
    [
        "sizes = 3",
        "sizes = {a = 1}",
        "seed = 'x\\u001b[31m'",
        "seed = 1.5",
        "bench = 7",
        "seed = []",
        "quiet = 'perhaps'",
    ],
)
def test_settings_of_wrong_types_get_one_line(
    tmp_path: Path, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("jacengine.toml").write_text(setting)
    result = run("bench", "--list")
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "\x1b" not in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [["strategies"], ["workloads"], ["doctor"], ["cache", "list"]]
)
def test_terminals_that_know_ascii_alone(command: list[str], tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    result = subprocess.run(
        [sys.executable, "-P", "-m", "jacengine", *command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert b"Traceback" not in result.stderr
    assert result.stdout or result.stderr
