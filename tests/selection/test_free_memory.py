"""What control groups and `ulimit -v` leave counts as free, and no more."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from jacengine.selection import free_memory
from jacengine.selection.free_memory import free_bytes

CPU = torch.device("cpu")


def group(folder: Path, files: dict[str, object]) -> None:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n")


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(free_memory, "_MOUNT", tmp_path / "cgroup")
    monkeypatch.setattr(free_memory, "_GROUPS", tmp_path / "groups")
    return tmp_path / "cgroup"


def v2(limit: object, used: int, cache: int = 0) -> dict[str, object]:
    stat = f"anon 5\ninactive_file {cache}"
    return {"memory.max": limit, "memory.current": used, "memory.stat": stat}


@pytest.mark.parametrize(
    ("outer", "inner", "free"),
    [
        (v2("max", 10), v2(1000, 400), 600),
        (v2(500, 400), v2(1000, 300), 100),  # the tightest of the nested ones
        (v2(500, 400, cache=150), v2("max", 300), 250),  # cache is given up
        (v2(500, 600), v2("max", 300), 0),
    ],
)
def test_nested_groups(
    mount: Path, outer: dict[str, object], inner: dict[str, object], free: int
) -> None:
    (mount.parent / "groups").write_text("0::/user.slice/job\n")
    group(mount / "user.slice", outer)
    group(mount / "user.slice" / "job", inner)
    assert free_bytes(CPU) == free


def test_groups_of_the_first_version(mount: Path) -> None:
    (mount.parent / "groups").write_text("4:cpu,memory:/docker/0f\n2:pids:/\n0::/\n")
    files: dict[str, object] = {
        "memory.limit_in_bytes": 1000,
        "memory.usage_in_bytes": 700,
        "memory.stat": "total_inactive_file 200",
    }
    # In a container the group that it is in is what is mounted.
    group(mount / "memory", files)
    assert free_bytes(CPU) == 500


def test_no_limits(mount: Path) -> None:
    assert free_bytes(CPU) > 2**20  # neither file nor mount
    (mount.parent / "groups").write_text("0::/\n")
    group(mount, v2("max", 10))
    assert free_bytes(CPU) > 2**20


def test_limits_of_the_address_space() -> None:
    script = (
        "import psutil, resource, torch\n"
        "from jacengine.selection.free_memory import free_bytes\n"
        "used = psutil.Process().memory_info().vms\n"
        "limit = used + 2**28\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "print(free_bytes(torch.device('cpu')))"
    )
    pytest.importorskip("resource")
    run = [sys.executable, "-c", script]
    found = subprocess.run(run, capture_output=True, text=True, check=True)
    assert 0 < int(found.stdout) <= 2**28
