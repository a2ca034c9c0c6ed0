"""The machine of a report: what its times depend on, without private data.

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

import torch

from jacengine._host import load_average, total_bytes
from jacengine._version import __version__
from jacengine.selection.budget import format_bytes


@dataclass(frozen=True)
class Machine:
    """Hardware, versions and settings; texts are empty where they are unknown.

    Attributes:
        cores: Processors available to this process.
        threads: Threads of one operator.
        instructions: The widest vector instructions that PyTorch uses.
        matmul_precision: The precision of float32 matrix products.
        commit: The commit of jacengine's checkout, empty if it is installed.
        dirty: Whether files differ from that commit.
        load: Running processes at the start, averaged over a minute.
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
        """Describe the current machine and environment.

        Args:
            libraries: Distributions whose versions are listed where they are installed.
        """
        # Of a distribution installed within another repository, no commit is known.
        tracked = _git("ls-files", "--error-unmatch", Path(__file__).name)
        versions = {name: _version(name) for name in libraries}
        return cls(
            cpu=_cpu(),
            cores=_cores(),
            memory_bytes=total_bytes(),
            gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else "",
            system=f"{platform.system()} {platform.machine()}",
            python=platform.python_version(),
            torch=torch.__version__,
            threads=torch.get_num_threads(),
            instructions=torch.backends.cpu.get_cpu_capability(),
            matmul_precision=torch.get_float32_matmul_precision(),
            jacengine=__version__,
            commit=_git("rev-parse", "--short=12", "HEAD") if tracked else "",
            dirty=bool(tracked and _git("status", "--porcelain")),
            load=round(load_average(), 2),
            date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            libraries=", ".join(f"{name} {v}" for name, v in versions.items() if v),
        )

    def facts(self) -> list[tuple[str, str]]:
        """List the known properties, each as its label and its value."""
        changes = " with changes" if self.dirty else ""
        facts = [
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
            ("Commit", f"{self.commit}{changes}" if self.commit else ""),
            ("Load at the start", "" if self.load is None else f"{self.load:.2f}"),
            ("Date", self.date),
        ]
        return [(label, text) for label, text in facts if text]


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


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _git(*arguments: str) -> str:
    """Return the output of git in the folder of this file, empty if it fails."""
    command = [shutil.which("git") or "git", "-C", str(Path(__file__).parent)]
    try:
        done = subprocess.run(
            [*command, *arguments],
            capture_output=True,
            check=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
