"""Builds the distributions of the checkout."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "jacengine": "jacengine",
    "strategies": "jacengine/strategies",
    "bench": "jacengine/bench",
}
SCRIPT = """
import sys, tarfile
from pathlib import Path
from setuptools import build_meta

folder = Path(sys.argv[1])
build_meta.build_editable(str(folder / "editable"))
name = build_meta.build_sdist(str(folder / "dist"))
with tarfile.open(folder / "dist" / name) as archive:
    archive.extractall(folder, filter="data")
"""
WHEEL = """
import sys
from setuptools import build_meta

build_meta.build_wheel(sys.argv[1])
"""


def build(folder: Path) -> None:
    """Build `dist/*.tar.gz`, `dist/*.whl` of that, and `editable/*.whl`.

    From a copy, so that the checkout stays as it is.
    """
    source = folder / "source"
    source.mkdir()
    for path in [ROOT / "pyproject.toml", ROOT / "LICENSE", *ROOT.glob("README*")]:
        shutil.copy(path, source)
    for name in FOLDERS:
        shutil.copytree(
            ROOT / name,
            source / name,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    _run(SCRIPT, folder, source)
    [unpacked] = folder.glob("jacengine-*")
    _run(WHEEL, folder / "dist", unpacked)


def _run(script: str, argument: Path, folder: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-c", script, str(argument)],
        cwd=folder,
        capture_output=True,
        check=False,
        text=True,
    )
    assert built.returncode == 0, built.stderr
