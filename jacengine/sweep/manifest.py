"""The first line of a sweep's journal: what the sweep is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from jacengine.errors import ArgumentError
from jacengine.report.machine import Machine
from jacengine.sweep.case_spec import Settings, Trial
from jacengine.sweep.messages import settings_of
from jacengine.sweep.roofline import Rates

SCHEMA = 1
"""The version of the layout."""
DAMAGED = (
    "The sweep's first line is damaged: it does not say what was measured. Begin anew "
    "in another folder."
)


@dataclass(frozen=True)
class Header:
    """What a sweep is.

    Attributes:
        options: The options of the command that began it, to resume it by.
        settings: How cases are measured.
        trials: All of them, in order.
        machine: Where.
        command: How it was begun.
        rates: What the machine can do, if that was measured.
    """

    options: Mapping[str, Any]
    settings: Settings
    trials: tuple[Trial, ...]
    machine: Machine
    command: str
    rates: Rates | None = None

    def to_json(self) -> str:
        """Write it as one line, without its end."""
        return json.dumps({"sweep": SCHEMA, **asdict(self)}, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Header:
        """Read what `to_json` wrote.

        Raises:
            ArgumentError: It is something else, or of another version.
        """
        try:
            content = json.loads(line)
            schema = content["sweep"]
        except (ValueError, KeyError, TypeError) as error:
            raise ArgumentError(DAMAGED) from error
        if schema != SCHEMA:
            raise ArgumentError(
                f"This sweep has layout {schema!r}; this version of jacengine reads "
                f"{SCHEMA}. Use the version that wrote it."
            )
        try:
            rates = content.pop("rates")
            return cls(
                options=content["options"],
                settings=settings_of(content["settings"]),
                trials=tuple(Trial(**trial) for trial in content["trials"]),
                machine=Machine(**content["machine"]),
                command=content["command"],
                rates=None if rates is None else Rates(**rates),
            )
        except (KeyError, TypeError) as error:
            raise ArgumentError(DAMAGED) from error
