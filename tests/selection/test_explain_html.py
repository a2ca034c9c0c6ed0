"""What notebooks show: whole, and escaped."""

import copy
import re
from dataclasses import replace

import torch

import jacengine
from jacengine.selection.explain_html import as_html
from tests.problems import mlp, randn


def cells(html: str) -> list[list[str]]:
    """Read the table."""
    rows = re.findall(r"<tr.*?>(.*?)</tr>", html, re.DOTALL)
    return [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]


def test_every_candidate_is_a_row() -> None:
    plan = jacengine.plan(mlp(3, 4, 2), randn(5, 3), batch_dim=0)
    html = plan._repr_html_()
    header, *rows = cells(html)
    assert header[0] == "strategy"
    named = [row[header.index("strategy")] for row in rows]
    assert named == [result.strategy for result in plan.selection.candidates]
    assert "Jacobian of 2 outputs x 3 inputs, 5 samples" in html
    assert "nan" not in html.lower()
    assert jacengine.Benchmark(plan)._repr_html_() == html


def test_text_is_escaped() -> None:
    plan = jacengine.plan(torch.sin, randn(3), effort="none")
    first, *others = plan.selection.candidates
    nasty = replace(first, reason="<script>&", outcome="error")
    selection = replace(plan.selection, candidates=(*others, nasty))
    html = as_html(plan.problem, selection)
    assert "<script>" not in html
    assert "&lt;script&gt;&amp;" in html


def test_a_plan_and_a_pattern_in_a_line() -> None:
    x = randn(5, 3)
    plan = jacengine.plan(mlp(3, 4, 2), x, batch_dim=0)
    said = r"Plan\(Jacobian of 2 outputs x 3 inputs, 5 samples: \w+, [\d.]+ \w+\)"
    assert re.fullmatch(said, repr(plan))
    assert re.fullmatch(said, repr(copy.copy(plan)))
    untimed = jacengine.plan(lambda x: x.sum(), x, effort="none", quantity="hessian")
    assert re.fullmatch(r"Plan\(Hessian of 1 outputs x 15 inputs: \w+\)", repr(untimed))
    pattern = jacengine.sparsity(torch.sin, randn(100))
    assert pattern._repr_html_().startswith("<pre")
    assert "100 nonzeros" in pattern._repr_html_()
