"""The command group: settings from files, and errors as one line."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import click

from jacengine.commands.exit_codes import (
    INTERRUPTED,
    CommandError,
    IncomparableError,
    UnsolvedError,
)
from jacengine.commands.settings import default_map
from jacengine.errors import JacengineError, MemoryBudgetError, NoStrategyError
from jacengine.sweep.environment import OtherMachineError

_ERRORS: dict[type[JacengineError], type[CommandError]] = {
    NoStrategyError: UnsolvedError,
    MemoryBudgetError: UnsolvedError,
    OtherMachineError: IncomparableError,
    JacengineError: CommandError,
}


class CommandGroup(click.Group):
    """A group that reads settings from files and turns errors into messages."""

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
