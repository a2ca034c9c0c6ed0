"""The machine that a report was made on: what its times depend on, and no more.

No host name, no user name, no folder.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import torch

from jacengine.selection.budget import format_bytes

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Machine:
    """Hardware, versions and settings.

    Attributes:
        cpu: The processor's model.
        cores: Processors that this process may use.
        memory_bytes: Main memory.
        gpu: The accelerator's model, empty without one.
        system: Operating system and architecture.
        python: Version of Python.
        torch: Version of PyTorch.
        threads: Threads of one operator.
        instructions: The widest vector instructions that PyTorch uses.
        matmul_precision: What float32 matrix products are rounded to.
        jacengine: Version of jacengine.
        commit: The commit it was checked out at, empty if it was not.
        dirty: Whether files differed from that commit.
        load: Running processes at the start, averaged over a minute.
        date: When, in UTC.
        libraries: Other libraries that took part, each with its version.
    """

    cpu: str
    cores: int
    memory_bytes: int
    gpu: str
    system: str
    python: str
    torch: str
    threads: int
    instructions: str
    matmul_precision: str
    jacengine: str
    commit: str
    dirty: bool
    load: float | None
    date: str
    libraries: str = ""

    @classmethod
    def here(cls, libraries: Iterable[str] = ()) -> Machine:
        """Describe this one, now.

        Args:
            libraries: Distributions whose versions matter, where they are installed.
        """
        commit, dirty = _commit()
        return cls(
            cpu=_cpu(),
            cores=_cores(),
            memory_bytes=psutil.virtual_memory().total,
            gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else "",
            system=f"{platform.system()} {platform.machine()}",
            python=platform.python_version(),
            torch=torch.__version__,
            threads=torch.get_num_threads(),
            instructions=torch.backends.cpu.get_cpu_capability(),
            matmul_precision=torch.get_float32_matmul_precision(),
            jacengine=_version("jacengine") or "not installed",
            commit=commit,
            dirty=dirty,
            load=_load(),
            date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            libraries=", ".join(
                f"{name} {found}" for name in libraries if (found := _version(name))
            ),
        )

    def facts(self) -> list[tuple[str, str]]:
        """List what there is to say, as labels and texts."""
        state = " with changes" if self.dirty else ""
        said = [
            ("Processor", self.cpu),
            ("Cores in use", f"{self.cores}"),
            ("Memory", format_bytes(self.memory_bytes)),
            ("Accelerator", self.gpu),
            ("System", self.system),
            ("Python", self.python),
            ("PyTorch", self.torch),
            ("Threads", f"{self.threads}"),
            ("Vector instructions", self.instructions),
            ("float32 products", self.matmul_precision),
            ("jacengine", self.jacengine),
            ("Other libraries", self.libraries),
            ("Commit", f"{self.commit}{state}" if self.commit else ""),
            ("Load at the start", "" if self.load is None else f"{self.load:.2f}"),
            ("Date", self.date),
        ]
        return [(label, text) for label, text in said if text]


def _cpu() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _commit() -> tuple[str, bool]:
    """Return the commit of jacengine's own checkout, and whether it is changed."""
    tracked = _git("ls-files", "--error-unmatch", Path(__file__).name)
    if not tracked:  # installed, maybe inside somebody else's repository
        return "", False
    return _git("rev-parse", "--short=12", "HEAD"), bool(_git("status", "--porcelain"))


def _git(*arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    try:
        done = subprocess.run(
            [git, "-C", str(_FOLDER), *arguments],
            capture_output=True,
            check=False,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
