"""How a command fails: one message, one exit code, no traceback."""

from __future__ import annotations

from typing import IO, Any, ClassVar

import click
from rich.console import Console

REGRESSED = 1
USAGE = 2
UNSOLVED = 3
INCOMPARABLE = 4
INTERRUPTED = 130


class Failure(click.ClickException):
    """Ends a command with a message: something was asked for wrongly."""

    exit_code: ClassVar[int] = USAGE

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message to standard error."""
        console = Console(file=file, stderr=file is None, highlight=False)
        console.print("error:", style="bold red", end=" ")
        console.print(self.message, markup=False, soft_wrap=True)


class Unsolved(Failure):
    """Some Jacobian has no right method here."""

    exit_code: ClassVar[int] = UNSOLVED


class Incomparable(Failure):
    """Two runs cannot be set side by side."""

    exit_code: ClassVar[int] = INCOMPARABLE
