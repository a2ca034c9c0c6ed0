"""Exit codes, and errors that end a command with one message and no traceback."""

from __future__ import annotations

from typing import IO, Any, ClassVar

import click
from rich.console import Console

REGRESSED = 1
USAGE = 2
UNSOLVED = 3
INCOMPARABLE = 4
INTERRUPTED = 130


class CommandError(click.ClickException):
    """Ends a command with a message: an error in its usage."""

    exit_code: ClassVar[int] = USAGE

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message to standard error."""
        console = Console(file=file, stderr=file is None, highlight=False)
        console.print("error:", style="bold red", end=" ")
        console.print(self.message, markup=False, soft_wrap=True)


class UnsolvedError(CommandError):
    """Some Jacobian has no correct method here."""

    exit_code: ClassVar[int] = UNSOLVED


class IncomparableError(CommandError):
    """Two runs cannot be compared."""

    exit_code: ClassVar[int] = INCOMPARABLE
