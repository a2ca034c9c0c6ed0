"""Memory and load of the machine.

On Linux, what psutil would read is read here, so that the library does not need it; on
other systems psutil is a dependency.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_STATM = Path("/proc/self/statm")

if sys.platform == "linux":

    def total_bytes() -> int:
        """Return the memory of the machine."""
        return _meminfo()["MemTotal"]

    def available_bytes() -> int:
        """Return the memory that programs can take without swapping."""
        fields = _meminfo()
        return fields.get("MemAvailable", fields["MemFree"])

    def address_space_bytes() -> int:
        """Return the size of the address space that this process has mapped."""
        pages = int(_STATM.read_text(encoding="ascii").split()[0])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def load_average() -> float:
        """Count the processes that ran or waited, averaged over a minute."""
        return os.getloadavg()[0]

    def _meminfo() -> dict[str, int]:
        """Read the fields in kilobytes (of 1024 bytes), as bytes."""
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
        split = (line.split() for line in lines if line.endswith(" kB"))
        return {name.rstrip(":"): 1024 * int(number) for name, number, _ in split}

else:
    import psutil

    def total_bytes() -> int:
        """Return the memory of the machine."""
        return int(psutil.virtual_memory().total)

    def available_bytes() -> int:
        """Return the memory that programs can take without swapping."""
        return int(psutil.virtual_memory().available)

    def address_space_bytes() -> int:
        """Return the size of the address space that this process has mapped."""
        return int(psutil.Process().memory_info().vms)

    def load_average() -> float:
        """Count the processes that ran or waited, averaged over a minute."""
        return float(psutil.getloadavg()[0])
