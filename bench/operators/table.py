"""The table of a sweep of operators."""

from __future__ import annotations

import platform
import textwrap
from collections.abc import Iterable, Sequence
from typing import get_args

import pandas as pd
import torch

from jacengine.bench.markdown import markdown_table
from jacengine.bench.operators.trial import Outcome, Trial

COLUMNS = ["operator", "sample", "what", "inputs", "outcome", "detail"]
WIDTH = 200
"""Characters of a message."""


HEAD = """\
# The operators of torch's own samples

`python -m jacengine.bench.operators`, PyTorch {torch},
{system}.

{operators} operators, {cases} cases, compared with plain autograd: Jacobians and
Hessians (of a weighted sum of the outputs) by each float64 input alone and by all
together; or what is read from the operator as a program, unverified, by each input
alone: its sparsity pattern, and its Jacobian by `elimination`. A doubtful result is
that of plain autograd, with a warning that finite differences disagree. Operators
without samples that can be tried: {untried}.

{counts}

## All that is not simply right

{others}
"""


def frame(trials: Iterable[Trial]) -> pd.DataFrame:
    """Return the trials, one row each."""
    rows = [
        (
            trial.case.operator,
            trial.case.sample,
            trial.case.what,
            " ".join(map(str, trial.case.inputs)),
            trial.outcome,
            " ".join(trial.detail.split()),
        )
        for trial in trials
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def to_markdown(table: pd.DataFrame, untried: Sequence[str]) -> str:
    """Return the report: the number of cases by outcome, and what is not right.

    Args:
        table: The trials.
        untried: Operators of which no sample could be tried.
    """
    counts = pd.crosstab(table["what"], table["outcome"])
    counts = counts.reindex(columns=list(get_args(Outcome)), fill_value=0)
    others = table[table["outcome"] != "right"].drop_duplicates(
        ["operator", "what", "outcome", "detail"]
    )
    shown = [
        textwrap.shorten(text, WIDTH, placeholder=" ...") for text in others["detail"]
    ]
    others = others.assign(detail=shown)
    return HEAD.format(
        torch=torch.__version__,
        system=f"{platform.system()} {platform.machine()}",
        operators=table["operator"].nunique(),
        cases=len(table),
        untried=", ".join(untried) or "none",
        counts=markdown_table(counts.reset_index()),
        others=markdown_table(others),
    )
