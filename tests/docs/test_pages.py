"""The code on the pages runs, and prints what the pages say."""

import re
from dataclasses import replace
from pathlib import Path

import click
import pytest

from docs.generate.blocks import blocks, namespace, run
from docs.generate.generators import GENERATORS
from docs.generate.sections import ROOT, pages, updated
from jacengine import errors
from jacengine.commands import main
from jacengine.commands.cli_group import (
    INCOMPARABLE,
    INTERRUPTED,
    REGRESSED,
    UNSOLVED,
    USAGE,
)
from jacengine.layers.rules import RULES
from jacengine.registry import Registry
from jacengine.strategies import BUILTIN

PAGES = [page.relative_to(ROOT).as_posix() for page in pages()]


@pytest.fixture(autouse=True)
def no_registration_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pages register strategies and rules of their own, in copies."""
    monkeypatch.setattr("jacengine.api.strategies._REGISTRY", Registry(BUILTIN))
    monkeypatch.setattr(RULES, "_rules", dict(RULES._rules))


@pytest.mark.parametrize("page", PAGES)
def test_blocks_print_what_the_page_says(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / page).read_text(encoding="utf-8")
    with namespace() as names:
        for block in blocks(text):
            printed = run(block, page, names)
            if block.output is not None:
                assert printed == block.output, f"{page}, line {block.line}"


@pytest.mark.parametrize("page", PAGES)
def test_no_block_is_passed_over(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    fences = len(re.findall(r"^\s*```\s*\{?\.?python\b", text, re.MULTILINE))
    assert len(list(blocks(text))) == fences, "python blocks begin at the margin"


@pytest.mark.parametrize("page", PAGES)
def test_generated_sections_are_current(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert updated(text, GENERATORS) == text, "run python -m docs.generate"


def test_every_page_is_in_the_navigation() -> None:
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    navigation = re.findall(r": (\S+\.md)$", config, re.MULTILINE)
    there = {page.removeprefix("docs/") for page in PAGES if page != "README.md"}
    assert sorted(navigation) == sorted(there)


def test_links_of_the_readme_lead_somewhere() -> None:
    # Those of other pages are checked by `make docs`.
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        if not target.startswith("https://"):
            assert (ROOT / target).exists(), target


def test_every_public_name_is_in_the_reference() -> None:
    stub = (ROOT / "jacengine" / "__init__.pyi").read_text(encoding="utf-8")
    public = re.findall(r" as (\w+)$", stub, re.MULTILINE)
    reference = "".join(
        page.read_text(encoding="utf-8")
        for page in (ROOT / "docs" / "reference").glob("*.md")
    )
    entries = re.findall(r"^(?:::: jacengine\.|## )(\w+)$", reference, re.MULTILINE)
    assert set(public) - {"__version__"} - set(entries) == set()
    assert "`jacengine.__version__`" in reference


def test_every_error_says_what_to_do() -> None:
    text = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    entries = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.M))
    classes = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.JacengineError)
    }
    assert set(entries) == classes
    for name, entry in entries.items():
        assert "**What to do:**" in entry, name
        for builtin in getattr(errors, name).__bases__[1:]:
            assert re.search(rf"Also an? `{builtin.__name__}`", entry), name


def test_every_command_and_exit_code_is_in_the_reference() -> None:
    path = ROOT / "docs" / "reference" / "command-line.md"
    text = path.read_text(encoding="utf-8")
    for name, command in main.commands.items():
        assert f"## jacengine {name}\n" in text
        for option in command.params:
            if isinstance(option, click.Option):
                assert f"{option.opts[-1]}" in text, (name, option.opts)
    codes = re.findall(r"^\| (\d+) \|", text, re.MULTILINE)
    known = {0, REGRESSED, USAGE, UNSOLVED, INCOMPARABLE, INTERRUPTED}
    assert set(map(int, codes)) == known


@pytest.mark.parametrize("strategy", [each.name for each in BUILTIN])
def test_every_strategy_is_explained(strategy: str) -> None:
    path = ROOT / "docs" / "explanation" / "strategies.md"
    assert f"{{ #{strategy} }}" in path.read_text(encoding="utf-8")


def test_the_example_of_the_readme_is_the_file() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    file = (ROOT / "examples" / "quickstart.py").read_text(encoding="utf-8")
    assert next(blocks(text)).code in file


def test_blocks_have_the_output_that_follows_them() -> None:
    page = "```python\nprint(1)\n```\n\n```text\n1\n```\n\n```python\nx = 2\n```\n"
    page += "\nText.\n\n```text\nno output\n```\n"
    first, second = blocks(page)
    assert (first.output, second.output) == ("1\n", None)
    with namespace() as names:
        assert [run(block, "page", names) for block in (first, second)] == ["1\n", ""]
        with pytest.raises(NameError) as raised:
            run(replace(first, code="y", line=7), "page.md", names)
    assert raised.traceback[-1].lineno == 7
