"""The distributions: what they contain, what they say, how type checkers see them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

import jacengine
from tests.packaging.build import FOLDERS, ROOT, build

NOT_SHIPPED = {"", ".md", ".pyc"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build an sdist of a copy of the checkout, and the wheel of that sdist."""
    folder = tmp_path_factory.mktemp("distributions")
    build(folder)
    return folder


@pytest.fixture(scope="module")
def wheel(folder: Path) -> dict[str, str]:
    [archive] = (folder / "dist").glob("*.whl")
    with ZipFile(archive) as content:
        return {
            name: content.read(name).decode(errors="replace")
            for name in content.namelist()
        }


def metadata(wheel: dict[str, str], name: str) -> str:
    [text] = [
        text for path, text in wheel.items() if path.endswith(f".dist-info/{name}")
    ]
    return text


def test_no_other_top_level_name(wheel: dict[str, str]) -> None:
    folders = {Path(path).parts[0] for path in wheel}

    assert metadata(wheel, "top_level.txt").split() == ["jacengine"]
    assert {name for name in folders if not name.endswith(".dist-info")} == {
        "jacengine"
    }


def test_every_file_ships(wheel: dict[str, str]) -> None:
    expected = {
        f"{package}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, package in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix not in NOT_SHIPPED
    }
    shipped = {path for path in wheel if ".dist-info/" not in path}

    assert expected - shipped == set(), (
        "pyproject.toml: list the package in tool.setuptools.packages, or the data in "
        "tool.setuptools.package-data"
    )
    assert shipped - expected == set()


def test_is_typed(wheel: dict[str, str]) -> None:
    assert "jacengine/py.typed" in wheel


def test_console_script(wheel: dict[str, str]) -> None:
    entry_points = metadata(wheel, "entry_points.txt").splitlines()

    assert entry_points == ["[console_scripts]", "jacengine = jacengine.commands:main"]


def test_licence(wheel: dict[str, str]) -> None:
    assert "License-Expression: MIT" in metadata(wheel, "METADATA")
    assert metadata(wheel, "licenses/LICENSE").startswith("MIT License")


def test_the_version_is_that_of_the_code(wheel: dict[str, str]) -> None:
    lines = metadata(wheel, "METADATA").splitlines()

    assert f"Version: {jacengine.__version__}" in lines


def test_requirements(wheel: dict[str, str]) -> None:
    lines = metadata(wheel, "METADATA").splitlines()
    required = [line.removeprefix("Requires-Dist: ") for line in lines]
    plain = {name.split(">")[0] for name in required if ";" not in name}

    assert {"torch", "scipy", "pandas", "rich", "click", "platformdirs"} <= plain
    assert not {"matplotlib", "jinja2", "psutil"} & plain
    for name in ("matplotlib", "jinja2", "psutil"):
        assert f'{name}; extra == "report"' in required


def test_distributions_can_be_uploaded(folder: Path) -> None:
    archives = sorted((folder / "dist").iterdir())
    assert {path.suffix for path in archives} == {".gz", ".whl"}

    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, archives)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2


def pyright(file: Path, python: Path) -> str:
    options = ["--outputjson", "--pythonpath", str(python), str(file)]
    found: dict[str, Any] = json.loads(_checked(["pyright", *options], file.parent))
    return "\n".join(each["message"] for each in found["generalDiagnostics"])


def mypy(file: Path, python: Path) -> str:
    options = ["--cache-dir", str(file.parent / "cache"), "--python-executable"]
    return _checked(["mypy", *options, str(python), str(file)], file.parent)


def _checked(command: list[str], folder: Path) -> str:
    """Run a type checker where nothing but the environment says what to import."""
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=variables,
        capture_output=True,
        check=False,
        text=True,
    )
    return done.stdout


@pytest.mark.parametrize("check", [pyright, mypy])
def test_type_checkers_see_an_editable_install(
    check: Callable[[Path, Path], str], folder: Path, tmp_path: Path
) -> None:
    environment = tmp_path / "environment"
    command = [sys.executable, "-m", "venv", "--without-pip", str(environment)]
    subprocess.run(command, check=True)
    [site] = environment.glob("lib/python*/site-packages")
    [archive] = (folder / "editable").glob("*.whl")
    with ZipFile(archive) as content:  # which is what pip does to install it
        content.extractall(site)
    file = tmp_path / "outside.py"
    file.write_text(
        "import jacengine\nfrom jacengine.bench.workload import Workload\n"
        "reveal_type(jacengine.list_strategies)\nreveal_type(Workload.name)\n",
        encoding="utf-8",
    )

    found = check(file, environment / "bin" / "python")

    assert "-> tuple[str, ...]" in found or "-> builtins.tuple" in found, found
    assert "Unknown" not in found
    assert "missing" not in found
