"""Claims about ratios; print those of a report: `python -m jacengine.bench.claims`.

For a claim about a group, such as the best library, the ratio closest to the target is
printed, with the run that it is of.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pandas as pd


@dataclass(frozen=True)
class Claim:
    """A target for the ratio of two times, or of two numbers of bytes.

    Attributes:
        plan: The name of the run of a plan.
        other: The name of a run, or of a group of the comparison, to compare it with.
        target: The ratio.
        speedup: Whether other / plan should be at least the target; otherwise
            plan / other should be at most the target.
    """

    plan: str
    other: str
    target: float
    speedup: bool = False

    def record(
        self, plan: float | None = None, other: float | None = None, run: str = ""
    ) -> dict[str, Any]:
        """Return the claim with the ratio of two medians, if both were measured.

        Args:
            plan: Of the plan.
            other: Of the other run.
            run: The name of the other run, if it is one of a group.
        """
        quotient = (self.other, self.plan) if self.speedup else (self.plan, self.other)
        ratio = met = None
        if plan is not None and other is not None:
            ratio = other / plan if self.speedup else plan / other
            met = ratio >= self.target if self.speedup else ratio <= self.target
        return {
            "claim": " / ".join(quotient),
            "run": run,
            "ratio": ratio,
            "target": f"{'>=' if self.speedup else '<='} {self.target:g}",
            "met": met,
        }


def claims(report: dict[str, Any]) -> pd.DataFrame:
    """Return the claims of what `--benchmark-json` wrote, one row each.

    Returns:
        A frame of work, claim, run, ratio, target and met; the last is `None` if
        nothing that the claim is about could be compared.
    """
    rows = [
        {"work": info["work"], **claim}
        for info in _stored(report)
        for claim in info.get("claims", ())
    ]
    columns = ["work", "claim", "run", "ratio", "target", "met"]
    frame = pd.DataFrame(rows, columns=columns)
    measured_first = frame.sort_values("ratio", kind="stable", na_position="last")
    return measured_first.drop_duplicates(["work", "claim", "target"]).sort_index()


def _stored(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [benchmark["extra_info"] for benchmark in report["benchmarks"]]


@click.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(path: Path) -> None:
    """Print the claims in PATH, which --benchmark-json wrote."""
    report = json.loads(path.read_text())
    found = claims(report)
    # What bench/test_selection.py stored, one row for each workload.
    stored = [info["selection"] for info in _stored(report) if "selection" in info]
    if not found.empty:
        click.echo(found.to_string(index=False, float_format="%.3g", na_rep="-"))
        met = sum(value is True for value in found["met"])
        click.echo(f"{met} of {len(found)} targets met")
    overheads = [info["overhead"] for info in _stored(report) if "overhead" in info]
    if overheads:
        paths = pd.DataFrame(overheads)
        click.echo(paths.to_string(index=False, float_format="%.1f"))
        click.echo(f"{int(paths['met'].sum())} of {len(paths)} targets met")
    if stored:
        chosen = pd.DataFrame(stored)
        click.echo(chosen.to_string(index=False, float_format="%.3g", na_rep="-"))
        regret = chosen["regret"]
        click.echo(f"median regret {regret.median():.3f}, worst {regret.max():.3f}")


if __name__ == "__main__":
    main()
