"""Settings from files: `[tool.jacengine]` of pyproject.toml, or jacengine.toml.

The nearest of these files counts. A key is an option's name; it stands directly under
`[tool.jacengine]` for all commands that have the option, or under the name of one
command, as `[tool.jacengine.bench]`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from jacengine.commands.exit_codes import Failure
from jacengine.errors import nearest

_UNSETTABLE = frozenset({"help", "version", "resume", "list", "dry_run", "replace"})
"""Options that say what to do now, and are no settings."""
Options = Mapping[str, frozenset[str]]
"""The names of the options of each command."""


def options_of(group: click.Group) -> Options:
    """List what can be set."""
    return {
        name: frozenset(
            str(parameter.name)
            for parameter in command.params
            if isinstance(parameter, click.Option)
        )
        - _UNSETTABLE
        for name, command in group.commands.items()
    }


def defaults(folder: Path, options: Options) -> dict[str, dict[str, Any]]:
    """Read the settings that hold in a folder, by command.

    Args:
        folder: Where to begin to look.
        options: What can be set.

    Raises:
        Failure: A file cannot be read, or a key is unknown.
    """
    found = _found(folder)
    if found is None:
        return {}
    path, table = found
    made: dict[str, dict[str, Any]] = {name: {} for name in options}
    for key, value in table.items():
        if isinstance(value, dict):
            _expect(path, key, options)
            for inner, setting in value.items():
                _expect(path, inner, options[key], where=f"[{key}]")
                made[key][_name(inner)] = _plain(setting)
        else:
            _expect(path, key, {*options, *frozenset().union(*options.values())})
            for name, known in options.items():
                if _name(key) in known:
                    made[name].setdefault(_name(key), _plain(value))
    return made


def _found(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return the nearest file with settings, and these."""
    for place in (folder, *folder.parents):
        for name, inside in (("jacengine.toml", False), ("pyproject.toml", True)):
            path = place / name
            if not path.is_file():
                continue
            try:
                content = tomllib.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise Failure(f"{path} cannot be read: {error}.") from error
            if not inside:
                return path, content
            table = content.get("tool", {}).get("jacengine")
            if isinstance(table, dict):
                return path, table
    return None


def _expect(
    path: Path,
    key: str,
    known: Mapping[str, Any] | set[str] | frozenset[str],
    *,
    where: str = "",
) -> None:
    if _name(key) not in known:
        inside = f" in {where}" if where else ""
        raise Failure(
            f"{path}: there is no setting {key!r}{inside}.{nearest(_name(key), known)}"
        )


def _name(key: str) -> str:
    return key.replace("-", "_")


def _plain(value: Any) -> Any:
    """Write a list as a command line has it."""
    return ",".join(map(str, value)) if isinstance(value, list) else value
