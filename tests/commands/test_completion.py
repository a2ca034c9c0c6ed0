"""What a shell completes, through click's own interface to shells."""

import pytest
from click.shell_completion import ShellComplete

from jacengine.api.strategies import known_strategies
from jacengine.commands import main
from tests.commands.build import FAKES, run

NAMES = set(known_strategies().names())


def completed(*arguments: str) -> set[str]:
    *before, incomplete = arguments
    shell = ShellComplete(main, {}, "jacengine", "_JACENGINE_COMPLETE")
    return {item.value for item in shell.get_completions(before, incomplete)}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("bench", "--strategies", "vmap_jvp_over_v"), {"vmap_jvp_over_vjp"}),
        (("bench", "--strategies", "a,vmap_jvp_over_v"), {"a,vmap_jvp_over_vjp"}),
        (("bench", "--sizes", "s"), {"small"}),
        (("bench", "--sizes", "small,m"), {"small,medium"}),
        (("bench", "--sizes", "small,s"), set[str]()),
        (("bench", "--dtype", "float6"), {"float64"}),
        (("bench", "--device", "c"), {"cpu"}),
        (("bench", "--format", ""), {"table", "json", "csv", "markdown"}),
        (("auto", "--format", "m"), {"markdown"}),
        (("cache", "list", "--format", ""), {"table", "json"}),
        (("bench", "--effort", ""), {"quick", "thorough"}),
        (("auto", "--effort", "n"), {"none"}),
        (("auto", "--wrt", ""), {"0", "inputs", "params"}),
        (("auto", "--wrt", "p"), {"params"}),
        (("auto", "--quantity", "hessian_"), {"hessian_diagonal"}),
        (("bench", *FAKES, "-k", ""), {"one", "two", "three"}),
        (("bench", *FAKES, "--workloads", "t"), {"two", "three"}),
        (("bench", *FAKES, "-k", "one or t"), {"one or two", "one or three"}),
        (("bench", *FAKES, "-k", "not (o"), {"not (one"}),
        (("bench", "--catalogue", "no.such:THING", "-k", "o"), set[str]()),
        (("benc",), {"bench"}),
    ],
)
def test_values(arguments: tuple[str, ...], expected: set[str]) -> None:
    found = completed(*arguments)

    if arguments[-2:] == ("-k", "") or arguments[-1].startswith(("one or", "not (")):
        assert expected <= found  # and words of expressions
    else:
        assert found == expected, found


def test_strategies_are_those_of_the_quantity() -> None:
    found = completed("auto", "--quantity", "laplacian", "--strategies", "forward_")

    assert "forward_laplacian" in found
    assert not found & NAMES
    assert completed("auto", "--quantity", "jacobian", "--strategies", "") == NAMES


def test_libraries_can_be_excluded() -> None:
    libraries = completed("bench", "--exclude", "vmap(")

    assert {"vmap(jacrev)", "vmap(jacfwd)"} <= libraries
    assert completed("bench", "--strategies", "vmap(") == set()


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("bench", "--sizes", "samall"), "small"),
        (("bench", "--format", "jsn"), "json"),
        (("bench", "--effort", "quik"), "quick"),
        (("bench", "--device", "cude"), "cuda"),
        (("bench", "--dtype", "float46"), "float64"),
        (("bench", "--workloads", "mlp_clasifier"), "mlp_classifier"),
        (("bench", "--strategies", "vmap_vpj"), "vmap_vjp"),
        (("auto", "m:f", "--quantity", "hesian"), "hessian"),
        (("auto", "m:f", "--effort", "nonne"), "none"),
        (("strategies", "--format", "jso"), "json"),
    ],
)
def test_suggestions(arguments: tuple[str, ...], hint: str) -> None:
    result = run(*arguments)

    assert result.exit_code == 2, result.output
    assert f"Did you mean '{hint}'?" in result.stderr
