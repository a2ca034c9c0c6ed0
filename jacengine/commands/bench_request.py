"""What a sweep was asked to be: the options that a resumed one takes over."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from jacengine.bench.workload import Workload
from jacengine.commands.exit_codes import Failure
from jacengine.sweep.case_spec import Effort, Settings, Trial
from jacengine.sweep.cases import agenda, shard


@dataclass(frozen=True)
class Asked:
    """The options that decide what is measured, and how.

    Attributes:
        expression: Which cases, as pytest's `-k`.
        workloads: Patterns of workloads' names; none means all.
        strategies: Names; none means all.
        exclude: Names.
        sizes: Of `small`, `medium`, `large`.
        device: Devices.
        threads: Numbers of threads; none for torch's own choice.
        dtype: Precisions; none for the workloads' own.
        memory_budget: As in `jacengine.auto`.
        effort: How long a case may take.
        peers: Whether other libraries are measured too.
        seed: Of the order in which contenders take turns.
        shard: Which share of the cases, from 1, and of how many.
        catalogue: Where the workloads are.
        compiled: Whether the choice of `auto` is measured as compiled code too.
    """

    expression: str
    workloads: Sequence[str]
    strategies: Sequence[str]
    exclude: Sequence[str]
    sizes: Sequence[str]
    device: Sequence[str]
    threads: Sequence[int]
    dtype: Sequence[str]
    memory_budget: str | None
    effort: Effort
    peers: bool
    seed: int
    shard: Sequence[int]
    catalogue: str
    compiled: bool

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Asked:
        """Take what belongs here from all options of a command."""
        return cls(**{field.name: options[field.name] for field in fields(cls)})

    def plain(self) -> dict[str, Any]:
        """Return the options as JSON has them."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return content

    def settings(self) -> Settings:
        """Return how cases are measured."""
        return Settings(
            tuple(self.strategies) or None,
            tuple(self.exclude),
            self.memory_budget,
            self.effort,
            self.peers,
            self.seed,
            self.catalogue,
            self.compiled,
        )

    def trials(self, workloads: Sequence[Workload]) -> tuple[Trial, ...]:
        """List the cases.

        Raises:
            Failure: This share of them has none.
        """
        every = agenda(
            workloads,
            patterns=self.workloads,
            expression=self.expression,
            sizes=self.sizes,
            dtypes=tuple(self.dtype) or ("",),
            devices=self.device,
            threads=tuple(self.threads) or (None,),
        )
        chosen = shard(every, *self.shard)
        if not chosen:
            share = "/".join(map(str, self.shard))
            raise Failure(f"--shard {share}: there are only {len(every)} cases.")
        return tuple(chosen)


def taken_over(
    saved: Mapping[str, Any], now: Asked, given: frozenset[str], where: str
) -> Asked:
    """Return the options that a sweep was begun with.

    Args:
        saved: These options.
        now: The options of the command that resumes it ...
        given: ... and which of them were written on the command line.
        where: The sweep's folder.

    Raises:
        Failure: They differ.
    """
    asked = now.plain()
    for name in sorted(given & asked.keys()):
        if asked[name] != saved.get(name):
            raise Failure(
                f"{where} was begun with {name} = {saved.get(name)!r}, and this is "
                f"{asked[name]!r}: cases measured in two ways cannot stand side by "
                "side. Resume it without this option, or begin anew in another folder."
            )
    return Asked.of({**asked, **saved})
