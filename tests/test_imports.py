"""Imports run downwards, and `import jacengine` is light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LEVELS: tuple[frozenset[str], ...] = tuple(
    frozenset(level.split())
    for level in (
        "_version _locks _vmap_warnings _files _host _load_object _progress"
        " _terminal_progress errors pytrees task basis tables tolerance timing"
        " peak_memory _torch_private _torch_compile _torch_parallel _torch_zeros"
        " _torch_lowering _torchfunc",
        "patterns _extras",
        "problem",
        "interface flat_parameters",
        "results registry layers program",
        "strategies",
        "seeding",
        "execution",
        "selection",
        "detection",
        "plans",
        "linear_operators",
        "distributed",
        "api plotting",
        "integrations",
        "__init__",
        "bench",
        "report",
        "sweep",
        "commands",
        "__main__",
    )
)
"""The packages and modules of jacengine, the lowest first. A module imports from its
own package and from lower levels."""


def modules() -> Iterator[Path]:
    for folder in ("jacengine", "strategies", "bench"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT).parts
            linked = inside[:2] in {("jacengine", "strategies"), ("jacengine", "bench")}
            if not linked and not path.name.startswith(("test_", "conftest")):
                yield path


def part(dotted: str) -> str:
    """Return the package or module directly under `jacengine`."""
    return dotted.split(".")[1] if "." in dotted else "__init__"


def own_part(path: Path) -> str:
    inside = path.relative_to(ROOT).with_suffix("").parts
    return inside[1] if inside[0] == "jacengine" else inside[0]


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            if node.module == "jacengine":
                for name in node.names:
                    known = f"jacengine.{name.name}"
                    yield known if level(part(known)) is not None else "jacengine"
            elif node.module.startswith("jacengine."):
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (n.name for n in node.names if n.name.startswith("jacengine"))


def level(name: str) -> int | None:
    return next((i for i, names in enumerate(LEVELS) if name in names), None)


@pytest.mark.parametrize(
    "path", list(modules()), ids=lambda p: str(p.relative_to(ROOT))
)
def test_imports_run_downwards(path: Path) -> None:
    own = own_part(path)
    mine = level(own)
    assert mine is not None, f"{own} has no level"
    for dotted in imported(path):
        other = part(dotted)
        theirs = level(other)
        assert theirs is not None, f"{other} has no level"
        assert other == own or theirs < mine or mine == theirs == 0, dotted


def modules_loaded_by(script: str) -> set[str]:
    show = (
        "import sys; before = set(sys.modules); {}; print(*set(sys.modules) - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", show.format(script)],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_the_import_loads_nothing_but_a_table_of_names() -> None:
    loaded = modules_loaded_by("import jacengine")
    assert "jacengine" in loaded
    assert not {name for name in loaded if name.startswith(("jacengine.", "torch"))}


def test_no_public_name_loads_a_heavy_library() -> None:
    heavy = {"pandas", "matplotlib", "rich", "jinja2", "click", "scipy", "IPython"}
    loaded = modules_loaded_by("from jacengine import *")
    assert "jacengine.selection.race" in loaded
    assert not heavy & {name.split(".")[0] for name in loaded}
    assert not [name for name in loaded if name.startswith("torch._inductor")]
