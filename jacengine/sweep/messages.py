"""What goes between a sweep and its worker: JSON, one message a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from jacengine.sweep.case_spec import Settings, Trial

Tell = Callable[[str], None]
"""Told who runs next, so that somebody else knows whom a crash is the fault of."""
Avoid = Mapping[str, tuple[str, str]]
"""Contenders that must not run again, by name, with outcome and reason."""


def measure_request(trial: Trial, settings: Settings, avoid: Avoid) -> str:
    """Ask for a case."""
    asked = {"trial": asdict(trial), "settings": asdict(settings), "avoid": {**avoid}}
    return json.dumps({"do": "measure", **asked})


def read_request(content: Mapping[str, Any]) -> tuple[Trial, Settings, Avoid]:
    """Read what `measure_request` wrote."""
    avoid = {name: (outcome, why) for name, (outcome, why) in content["avoid"].items()}
    return Trial(**content["trial"]), settings_of(content["settings"]), avoid


def settings_of(content: Mapping[str, Any]) -> Settings:
    """Read settings, whose tuples JSON made lists of."""
    strategies = content["strategies"]
    changed: dict[str, Any] = {
        **content,
        "strategies": None if strategies is None else tuple(strategies),
        "exclude": tuple(content["exclude"]),
    }
    return Settings(**changed)
