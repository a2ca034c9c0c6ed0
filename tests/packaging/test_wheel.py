import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "jacengine": "jacengine",
    "strategies": "jacengine/strategies",
    "bench": "jacengine/bench",
}
NOT_SHIPPED = {"", ".md", ".pyc"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Build the wheel from a copy, so that the checkout stays as it is."""
    tmp_path = tmp_path_factory.mktemp("wheel")
    source = tmp_path / "source"
    source.mkdir()
    for path in [ROOT / "pyproject.toml", ROOT / "LICENSE", *ROOT.glob("README*")]:
        shutil.copy(path, source)
    for folder in FOLDERS:
        shutil.copytree(
            ROOT / folder,
            source / folder,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    built = subprocess.run(
        [*command, *options, "--wheel-dir", str(tmp_path), str(source)],
        capture_output=True,
        check=False,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    [archive] = tmp_path.glob("*.whl")
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
