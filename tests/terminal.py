"""A program run in a terminal, as a user sees it."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_in_terminal(
    *arguments: str, width: int = 80, interrupt_at: str = ""
) -> tuple[int, str]:
    """Run Python with standard output and error on a terminal.

    Args:
        arguments: Those of the interpreter.
        width: Columns of the terminal.
        interrupt_at: Send Ctrl-C when this text appears.

    Returns:
        The exit code, and all that was written, control sequences included.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    unset = {"COLUMNS", "NO_COLOR", "TTY_COMPATIBLE", "FORCE_COLOR"}
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**kept, "JACENGINE_CACHE_DIR": "", "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = ""
    try:
        while chunk := _read(ours):
            written += chunk
            if interrupt_at and interrupt_at in written:
                interrupt_at = ""
                process.send_signal(signal.SIGINT)
        return process.wait(60), written
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read(descriptor: int) -> str:
    """Read what is there; nothing when the program has ended."""
    try:
        return os.read(descriptor, 65536).decode("utf-8", "replace")
    except OSError:
        return ""
