"""The code of workloads, as reports show it."""

import ast

import pytest
import torch

from jacengine.bench.source import workload_code
from jacengine.bench.workload import DerivativeSpec, Workload, scale, seeded
from jacengine.bench.workloads import WORKLOADS


def helper(x: torch.Tensor) -> torch.Tensor:
    return unused_constant * x.sin()


class Base(torch.nn.Module):
    """Used by its subclass alone."""


class Model(Base):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return helper(x)


unused_constant = 2.0


def make(n: int) -> DerivativeSpec:
    return DerivativeSpec(Model(), (torch.ones(n),))


def described(build: object) -> Workload:
    return Workload("own", "here", "None.", build=build, **scale("n", 1, 2, 3, tiny=1))  # type: ignore[arg-type]


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
def test_every_workload_shows_code_that_parses(workload: Workload) -> None:
    code = workload_code(workload)

    names = {type(node).__name__ for node in ast.parse(code).body}
    assert names <= {"FunctionDef", "ClassDef", "Assign"}
    assert "# jacengine/bench/workloads/" in code
    assert "DerivativeSpec(" in code


def test_what_a_workload_uses_comes_before_it() -> None:
    code = workload_code(described(seeded(make)))

    places = [code.index(text) for text in ("def helper", "class Base", "class Model")]
    assert max(places) == places[2] < code.index("def make")
    assert code.count("# tests/bench/test_source.py") == 4


def test_a_lambda_is_cut_out_of_its_line() -> None:
    workload = described(lambda n: DerivativeSpec(helper, (torch.ones(n),)))

    last = workload_code(workload).split("\n\n\n")[-1]

    assert last == (
        "# tests/bench/test_source.py\n"
        "build = lambda n: DerivativeSpec(helper, (torch.ones(n),))"
    )


def test_code_without_a_file_is_left_out() -> None:
    made: dict[str, object] = {}
    exec("def build(n): return n", made)

    assert workload_code(described(made["build"])) == ""
