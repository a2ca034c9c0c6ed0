"""Print the claims of a pytest-benchmark report: `python -m jacengine.bench.claims`.

For a claim about a group, such as the best library, the ratio closest to the target is
printed, with the run that it is of.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pandas as pd


def claims(report: dict[str, Any]) -> pd.DataFrame:
    """Return the claims of a report, one row each.

    Args:
        report: What `--benchmark-json` wrote.

    Returns:
        A frame of work, claim, run, ratio, target and met; the last is `None` if
        nothing that the claim is about could be compared.
    """
    rows = [
        {"work": info["work"], **claim}
        for info in (benchmark["extra_info"] for benchmark in report["benchmarks"])
        for claim in info.get("claims", ())
    ]
    columns = ["work", "claim", "run", "ratio", "target", "met"]
    frame = pd.DataFrame(rows, columns=columns)
    measured_first = frame.sort_values("ratio", kind="stable", na_position="last")
    return measured_first.drop_duplicates(["work", "claim", "target"]).sort_index()


def selection(report: dict[str, Any]) -> pd.DataFrame:
    """Return the figures of selection quality of a report, one row for each workload.

    Args:
        report: What `--benchmark-json` wrote.

    Returns:
        A frame of what `bench/test_selection.py` stored.
    """
    infos = (benchmark["extra_info"] for benchmark in report["benchmarks"])
    return pd.DataFrame([info["selection"] for info in infos if "selection" in info])


@click.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(path: Path) -> None:
    """Print the claims in PATH, which --benchmark-json wrote."""
    report = json.loads(path.read_text())
    found, chosen = claims(report), selection(report)
    if not found.empty:
        click.echo(found.to_string(index=False, float_format="%.3g", na_rep="-"))
        met = sum(value is True for value in found["met"])
        click.echo(f"{met} of {len(found)} targets met")
    if not chosen.empty:
        click.echo(chosen.to_string(index=False, float_format="%.3g", na_rep="-"))
        regret = chosen["regret"]
        click.echo(f"median regret {regret.median():.3f}, worst {regret.max():.3f}")


if __name__ == "__main__":
    main()
