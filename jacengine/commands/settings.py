"""Settings from files: `[tool.jacengine]` of pyproject.toml, or jacengine.toml.

The nearest of these files counts. A key is the name of an option. Directly under
`[tool.jacengine]` it holds for all commands that have the option; under the name of a
command, as in `[tool.jacengine.bench]`, for that command.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from jacengine.errors import ArgumentError, nearest

_NO_SETTINGS = frozenset({"help", "version", "resume", "list", "dry_run", "replace"})
"""Options that request an action."""


def default_map(folder: Path, group: click.Group) -> dict[str, dict[str, Any]]:
    """Read the defaults of options that hold in a folder, by command of the group.

    Raises:
        ArgumentError: A file cannot be read, a key is unknown, or a command is none.
    """
    path, table = _read_nearest(folder)
    options = {name: _settable(command) for name, command in group.commands.items()}
    every = {*options, *frozenset[str]().union(*options.values())}
    common: dict[str, Any] = {}
    defaults: dict[str, dict[str, Any]] = {name: {} for name in options}
    for key, value in table.items():
        if isinstance(value, dict):
            command = _require_known(path, key, options)
            for inner, setting in value.items():
                name = _require_known(path, inner, options[command], f" in [{key}]")
                defaults[command][name] = _to_text(setting)
        elif key in options:
            raise ArgumentError(
                f"{path}: {key!r} is a command: expected a table of its settings, as "
                f"in [tool.jacengine.{key}]; got {value!r}."
            )
        else:
            common[_require_known(path, key, every)] = _to_text(value)
    return {
        command: {k: v for k, v in common.items() if k in options[command]} | own
        for command, own in defaults.items()
    }


def _settable(command: click.Command) -> frozenset[str]:
    options = (p for p in command.params if isinstance(p, click.Option))
    return frozenset(str(option.name) for option in options) - _NO_SETTINGS


def _read_nearest(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return the nearest file with settings, and its settings."""
    for parent in (folder, *folder.parents):
        for path in (parent / "jacengine.toml", parent / "pyproject.toml"):
            if not path.is_file():
                continue
            try:
                content = tomllib.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise ArgumentError(f"{path} cannot be read: {error}.") from error
            if path.name == "jacengine.toml":
                return path, content
            table = content.get("tool", {}).get("jacengine")
            if isinstance(table, dict):
                return path, table
    return folder, {}


def _require_known(path: Path, key: str, known: Iterable[str], where: str = "") -> str:
    """Return a key as the name of an option or command."""
    name = key.replace("-", "_")
    if name not in known:
        raise ArgumentError(
            f"{path}: there is no setting {key!r}{where}.{nearest(name, known)}"
        )
    return name


def _to_text(value: Any) -> Any:
    """Write a value as on the command line, where it is checked; flags stay."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, bool) else str(value)
