"""The command group: settings, nearest names, errors as one line."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import click

from jacengine.commands.exit_codes import INTERRUPTED, Failure, Incomparable, Unsolved
from jacengine.commands.settings import defaults, options_of
from jacengine.errors import JacengineError, MemoryBudgetError, NoStrategyError, nearest
from jacengine.sweep.merge import OtherMachineError

PREFIX = "JACENGINE"
"""Each option is also an environment variable: `JACENGINE_BENCH_SIZES`."""
_FAILURES: dict[type[JacengineError], type[Failure]] = {
    NoStrategyError: Unsolved,
    MemoryBudgetError: Unsolved,
    OtherMachineError: Incomparable,
    JacengineError: Failure,
}


class Commands(click.Group):
    """A group that reads settings from files and turns errors into messages."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Let environment variables stand for options."""
        extra.setdefault("auto_envvar_prefix", PREFIX)
        return super().make_context(info_name, args, parent, **extra)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; an unknown one is met with the nearest."""
        if args and self.get_command(ctx, args[0]) is None and args[0][:1] != "-":
            known = self.list_commands(ctx)
            raise Failure(
                f"There is no command {args[0]!r}.{nearest(args[0], known)} Commands: "
                f"{', '.join(known)}."
            )
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command with the settings that hold here.

        Raises:
            Failure: The command raised one of jacengine's errors, or a file cannot be
                read or written.
            OSError: Nobody reads the output any more.
        """
        try:
            ctx.default_map = defaults(Path.cwd(), options_of(self))
            return super().invoke(ctx)
        except JacengineError as error:
            kind = next(kind for kind in _FAILURES if isinstance(error, kind))
            raise _FAILURES[kind](str(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE or error.strerror is None:
                raise
            place = f"{error.filename}: " if error.filename else ""
            raise Failure(f"{place}{error.strerror}") from error
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)
