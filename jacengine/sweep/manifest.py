"""The manifest of a sweep, which is the first line of its journal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from jacengine.errors import ArgumentError
from jacengine.report.machine import Machine
from jacengine.sweep.case_spec import CaseSpec, Settings
from jacengine.sweep.roofline import Roofline

SCHEMA = 2
"""The version of the layout."""
DAMAGED = (
    "The sweep's first line is damaged: it does not say what was measured. Start a new "
    "sweep in another folder."
)


@dataclass(frozen=True)
class Manifest:
    """What a sweep measures, and where.

    Attributes:
        options: The options of the command that started it, to resume it with.
        settings: How cases are measured.
        cases: All cases, in order.
        machine: The machine.
        command: The command that started it.
        roofline: The rates of the device, if they were measured.
    """

    options: Mapping[str, Any]
    settings: Settings
    cases: tuple[CaseSpec, ...]
    machine: Machine
    command: str
    roofline: Roofline | None = None

    def to_json(self) -> str:
        """Write it as one line, without the line end."""
        return json.dumps({"sweep": SCHEMA, **asdict(self)}, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Manifest:
        """Read the output of `to_json`.

        Raises:
            ArgumentError: It is something else, or of another version.
        """
        try:
            content = json.loads(line)
            _require_schema(content["sweep"])
            roofline = content["roofline"]
            return cls(
                options=content["options"],
                settings=Settings.from_json(content["settings"]),
                cases=tuple(CaseSpec(**spec) for spec in content["cases"]),
                machine=Machine(**content["machine"]),
                command=content["command"],
                roofline=None if roofline is None else Roofline(**roofline),
            )
        except ArgumentError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArgumentError(DAMAGED) from error


def _require_schema(schema: object) -> None:
    if schema != SCHEMA:
        raise ArgumentError(
            f"This sweep has layout {schema!r}; this version of jacengine reads "
            f"{SCHEMA}. Use the version that wrote it."
        )
