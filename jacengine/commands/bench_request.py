"""The options of a sweep that decide what is measured; a resumed sweep keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from jacengine.bench.workload import Workload
from jacengine.commands.exit_codes import CommandError
from jacengine.sweep.case_spec import CaseSpec, Settings
from jacengine.sweep.cases import select_cases, shard

_SETTINGS = tuple(field.name for field in fields(Settings))
_SELECTION = ("expression", "workloads", "sizes", "device", "threads", "dtype", "shard")


@dataclass(frozen=True)
class BenchRequest:
    """Which cases a sweep measures, and how.

    Attributes:
        options: Values of the command's options by name, as JSON has them.
    """

    options: Mapping[str, Any]

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> BenchRequest:
        """Take the relevant ones of a command's options."""
        relevant = {name: options[name] for name in (*_SELECTION, *_SETTINGS)}
        return cls(json.loads(json.dumps(relevant)))

    @property
    def settings(self) -> Settings:
        """How cases are measured."""
        return Settings.from_json({name: self.options[name] for name in _SETTINGS})

    def cases(self, workloads: Sequence[Workload]) -> list[CaseSpec]:
        """List the cases of this shard.

        Raises:
            CommandError: It has none.
        """
        options = self.options
        every = select_cases(
            workloads,
            patterns=options["workloads"],
            expression=options["expression"],
            sizes=options["sizes"],
            dtypes=options["dtype"] or ("",),
            devices=options["device"],
            threads=options["threads"] or (None,),
        )
        number, count = options["shard"]
        selected = shard(every, number, count)
        if not selected:
            raise CommandError(
                f"--shard {number}/{count}: there are only {len(every)} cases."
            )
        return selected

    def resume(
        self, saved: Mapping[str, Any], given: frozenset[str], folder: Path
    ) -> BenchRequest:
        """Return the request that a sweep was started with.

        Args:
            saved: The options of that request.
            given: The options that this command line has.
            folder: The sweep's folder.

        Raises:
            CommandError: An option of this command line differs.
        """
        for name in sorted(given & self.options.keys()):
            if self.options[name] != saved.get(name):
                raise CommandError(
                    f"{folder} was started with {name} = {saved.get(name)!r}, not "
                    f"{self.options[name]!r}: one sweep cannot mix them. Resume it "
                    "without this option, or start a new one in another folder."
                )
        return BenchRequest({**self.options, **saved})
