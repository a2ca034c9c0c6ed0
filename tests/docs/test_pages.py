"""The code on the pages runs, and prints what the pages say."""

import re
from pathlib import Path
from typing import Any

import pytest

from docs.generate.blocks import blocks, run
from docs.generate.generators import GENERATORS
from docs.generate.sections import ROOT, pages, updated
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
    names: dict[str, Any] = {"__name__": "page"}
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
