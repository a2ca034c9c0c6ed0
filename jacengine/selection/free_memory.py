"""How much memory can still be taken on a device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import torch

from jacengine._host import address_space_bytes, available_bytes

_GROUPS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = ("memory.max", "memory.current", "inactive_file")
"""Of each version of control groups: the files of the limit and of what is in use, and
the name of the page cache, which is given up when memory is short."""


def free_bytes(device: torch.device) -> int:
    """Return the memory that can still be taken on a device.

    On CPU the limits of the process's control groups and of its address space count
    too, where there are any.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        reserved = torch.cuda.memory_reserved(device)
        return free + reserved - torch.cuda.memory_allocated(device)
    return min([available_bytes(), *_left_in_groups(), *_left_of_address_space()])


def _left_in_groups() -> Iterator[int]:
    """Yield what each control group that the process is in, or inside of, has left.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html, and cgroup-v1/memory.
    """
    try:
        lines = _GROUPS.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount, names = (_MOUNT / "memory", _V1) if controllers else (_MOUNT, _V2)
        group = PurePosixPath(path.removeprefix("/"))
        # In a container its own group may be what is mounted, whatever it is called.
        for name in (group, *group.parents):
            left = _left_in(mount / name, *names)
            if left is not None:
                yield left


def _left_in(group: Path, limit: str, usage: str, cache: str) -> int | None:
    """Return what a control group has left; `None` if it has no limit, or is none."""
    try:
        most, used = (int((group / name).read_text()) for name in (limit, usage))
        fields = dict(
            line.split() for line in (group / "memory.stat").read_text().splitlines()
        )
    except (OSError, ValueError):
        return None
    return max(0, most - used + int(fields.get(cache, 0)))


def _left_of_address_space() -> Iterator[int]:
    """Yield what `ulimit -v` leaves, if it is set."""
    try:
        import resource  # noqa: PLC0415 - it does not exist on Windows
    except ImportError:
        return
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        yield max(0, most - address_space_bytes())
