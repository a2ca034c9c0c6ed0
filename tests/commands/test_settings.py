from pathlib import Path

import pytest

from tests.commands.build import FAKES, run


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)


def sizes(*arguments: str) -> list[str]:
    result = run("bench", *FAKES, "-k", "one", "--list", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.split()


def write(text: str, name: str = "pyproject.toml") -> None:
    (Path.cwd().parent / name).write_text(text)


def test_a_file_above_counts() -> None:
    write('[tool.jacengine.bench]\nsizes = "large"')

    assert sizes() == ["one/4"]


def test_lists_may_be_lists() -> None:
    write('[tool.jacengine.bench]\nsizes = ["small", "large"]')

    assert sizes() == ["one/2", "one/4"]


def test_keys_for_all_commands() -> None:
    write("[tool.jacengine]\nthreads = 1\nmemory-budget = '1GiB'")

    assert sizes() == ["one/2/t1"]


def test_a_file_of_its_own() -> None:
    write('[bench]\nsizes = "medium"', "jacengine.toml")

    assert sizes() == ["one/3"]


def test_the_nearest_file_counts() -> None:
    write('[tool.jacengine.bench]\nsizes = "large"')
    Path("pyproject.toml").write_text('[tool.jacengine.bench]\nsizes = "medium"')

    assert sizes() == ["one/3"]


def test_files_of_others_are_passed_over() -> None:
    write('[tool.jacengine.bench]\nsizes = "large"')
    Path("pyproject.toml").write_text('[tool.other]\nsizes = "medium"')

    assert sizes() == ["one/4"]


def test_the_environment_goes_before_files(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[tool.jacengine.bench]\nsizes = "large"')
    monkeypatch.setenv("JACENGINE_BENCH_SIZES", "medium")

    assert sizes() == ["one/3"]
    assert sizes("--sizes", "small") == ["one/2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[tool.jacengine.bench]\nsize = "large"', "Did you mean 'sizes'"),
        ("[tool.jacengine.bensh]\nseed = 1", "Did you mean 'bench'"),
        ("[tool.jacengine]\nmemory-buget = '1GB'", "Did you mean 'memory_budget'"),
        ("[tool.jacengine.bench]\nresume = 'x'", "no setting 'resume'"),
        ("[tool.jacengine", "cannot be read"),
        ('[tool.jacengine.bench]\nsizes = "huge"', "'huge' is not one of 'small'"),
        ("[tool.jacengine.bench]\nseed = 'x'", "'x' is not a valid integer"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    write(text)

    result = run("bench", *FAKES, "--list")

    assert result.exit_code == 2, result.output
    assert message in result.stderr
