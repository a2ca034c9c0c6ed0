"""The tables of Taylor rules: built at the first use, by name."""

import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from jacengine.program.taylor import (
    arithmetic,
    contractions,
    decompositions,
    elementwise,
    normalization,
    pooling,
    rules,
    views,
)

WITH_RULES = (elementwise, arithmetic, views, pooling, contractions)
DECOMPOSED = (decompositions, normalization, rules)


def test_importing_builds_no_table() -> None:
    code = (
        "import jacengine\n"
        "from jacengine.program.taylor import rules\n"
        "for table in (rules.primitives, rules.decomposed):\n"
        "    assert table.cache_info().currsize == 0\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_name_is_that_of_a_function() -> None:
    names = [rules.CONSTANT]
    for module in (*WITH_RULES, *DECOMPOSED):
        names += [*vars(module).get("RULES", {}), *vars(module).get("FACTORIES", {})]
    unknown = [n for n in " ".join(names).split() if not list(rules.aliases(n))]
    assert not unknown


def test_a_function_that_torch_lacks_has_no_rule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    everything, lost = rules.decomposed(), F.normalize
    assert lost in everything
    monkeypatch.delattr(F, "normalize")
    left = rules.decomposed.__wrapped__()
    assert left.keys() == everything.keys() - {lost}


def test_names_with_an_owner() -> None:
    assert list(rules.aliases("torch.norm linalg.norm")) == [
        torch.norm,
        torch.linalg.norm,
    ]
    (getter,) = rules.aliases("Tensor.mT")
    x = torch.ones(2, 3)
    assert getter(x).shape == (3, 2)
