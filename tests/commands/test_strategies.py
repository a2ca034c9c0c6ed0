import json

from tests.commands.build import run


def test_lists() -> None:
    found = json.loads(run("strategies", "--format", "json").stdout)
    assert {"vmap_vjp", "quasi_linear"} <= {entry["strategy"] for entry in found}
    found = json.loads(run("strategies", "--peers", "--format", "json").stdout)
    assert "vmap(jacrev)" in {entry["library"] for entry in found}
    arguments = ("--catalogue", "tests.sweep.fakes:FINE")
    found = json.loads(run("workloads", *arguments, "--format", "json").stdout)
    assert [entry["sizes"] for entry in found] == [[2, 3, 4]] * 3
    assert "vmap_vjp" in run("strategies").stdout
    assert "2, 3, 4" in run("workloads", *arguments).stdout
