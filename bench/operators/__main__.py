"""The command: `python -m jacengine.bench.operators`."""

from __future__ import annotations

from pathlib import Path

import click
import pandas as pd
from rich.progress import track

from jacengine.bench.operators.children import trials
from jacengine.bench.operators.samples import operator_names
from jacengine.bench.operators.table import frame, to_markdown
from jacengine.bench.operators.trial import DERIVATIVES, READINGS


@click.command()
@click.argument("names", nargs=-1)
@click.option("--count", default=2, show_default=True, help="Samples of each operator.")
@click.option("--jobs", default=2, show_default=True, help="Processes at a time.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds for a case.")
@click.option(
    "--readings",
    is_flag=True,
    help="Try what is read from operators as programs, not derivatives by auto.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for operators.md and operators.csv.",
)
def main(
    names: tuple[str, ...],
    *,
    count: int,
    jobs: int,
    timeout: float,
    readings: bool,
    out: Path | None,
) -> None:
    """Try the operators NAMES, all by default; exit with 1 if anything is wrong."""
    known = operator_names()
    if unknown := sorted(set(names) - set(known)):
        raise click.BadParameter(f"no such operators: {', '.join(unknown)}")
    chosen = names or known
    kinds = READINGS if readings else DERIVATIVES
    running = trials(chosen, count=count, jobs=jobs, timeout_s=timeout, kinds=kinds)
    table = pd.concat(
        frame(found) for found in track(running, "Operators", total=len(chosen))
    )
    text = to_markdown(
        table, [name for name in chosen if name not in set(table.operator)]
    )
    click.echo(text)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "operators.md").write_text(text, encoding="utf-8")
        table.to_csv(out / "operators.csv", index=False)
    if table["outcome"].isin(["wrong", "error", "crash", "hang"]).any():
        raise SystemExit(1)


if __name__ == "__main__":
    main()
