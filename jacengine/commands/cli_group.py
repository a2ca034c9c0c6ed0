"""The command group: settings from files, exit codes, and errors as one line."""

from __future__ import annotations

import errno
import io
import sys
from pathlib import Path
from typing import IO, Any, ClassVar

import click
from rich.console import Console

from jacengine.commands.settings import default_map
from jacengine.errors import JacengineError, MemoryBudgetError, NoStrategyError
from jacengine.report.formatting import visible
from jacengine.sweep.environment import OtherMachineError

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
        console.print(visible(self.message), markup=False, soft_wrap=True)


class UnsolvedError(CommandError):
    """Some Jacobian has no correct method here."""

    exit_code: ClassVar[int] = UNSOLVED


class IncomparableError(CommandError):
    """Two runs cannot be compared."""

    exit_code: ClassVar[int] = INCOMPARABLE


_ERRORS: dict[type[JacengineError], type[CommandError]] = {
    NoStrategyError: UnsolvedError,
    MemoryBudgetError: UnsolvedError,
    OtherMachineError: IncomparableError,
    JacengineError: CommandError,
}


class CommandGroup(click.Group):
    """A group that reads settings from files and turns errors into messages."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program; what a terminal cannot show is replaced."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command with the settings of the current folder.

        Raises:
            CommandError: The command raised one of jacengine's errors, or a file cannot
                be read or written.
            OSError: The reader of the output is gone.
        """
        try:
            ctx.default_map = default_map(Path.cwd(), self)
            return super().invoke(ctx)
        except JacengineError as error:
            kind = next(kind for kind in _ERRORS if isinstance(error, kind))
            raise _ERRORS[kind](str(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE or error.strerror is None:
                raise
            place = f"{error.filename}: " if error.filename else ""
            raise CommandError(f"{place}{error.strerror}") from error
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)
