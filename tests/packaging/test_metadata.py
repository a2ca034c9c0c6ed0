"""The files that describe the project: one version, a changelog, a citation."""

import re
import tomllib
from pathlib import Path

import jacengine

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CITATION = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
SECTIONS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_version_is_written_once() -> None:
    source = (ROOT / "jacengine/_version.py").read_text(encoding="utf-8")

    assert PROJECT["project"]["dynamic"] == ["version"]
    assert "version" not in PROJECT["project"]
    assert f'__version__ = "{jacengine.__version__}"' in source
    assert not re.search("^version:", CITATION, re.MULTILINE)


def test_the_citation_has_the_keys_that_its_format_requires() -> None:
    """Source: the schema of the Citation File Format 1.2.0, `required`."""
    keys = dict(re.findall(r"^([a-z-]+): *(.*)$", CITATION, re.MULTILINE))

    assert {"cff-version", "message", "title", "authors"} <= keys.keys()
    assert keys["cff-version"] == "1.2.0"
    assert keys["type"] in {"software", "dataset"}
    assert keys["license"] == PROJECT["project"]["license"]
    authors = CITATION.split("authors:\n")[1].split("license:")[0]
    names = re.findall(r"^  - name: (.+)$", authors, re.MULTILINE)
    assert names == [author["name"] for author in PROJECT["project"]["authors"]]


def test_the_changelog_keeps_its_format() -> None:
    """Source: https://keepachangelog.com/en/1.1.0/."""
    versions = re.findall(r"^## (.+)$", CHANGELOG, re.MULTILINE)
    sections = re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE)

    assert CHANGELOG.startswith("# Changelog\n")
    assert versions[0] == "[Unreleased]"
    assert set(sections) <= SECTIONS
    released = jacengine.__version__
    assert ".dev" in released or f"[{released}]" in versions[1]


def test_extras() -> None:
    extras = PROJECT["project"]["optional-dependencies"]

    assert "jacengine[report]" in extras["dev"]
    assert extras["report"] == ["jinja2", "matplotlib", "psutil"]


def test_constraints_pin_what_is_installed_by_name() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.split("==")[0] for line in lines if "==" in line}
    project = PROJECT["project"]
    wanted = [
        *project["dependencies"],
        *project["optional-dependencies"]["dev"],
        *project["optional-dependencies"]["report"],
    ]
    names = {re.split(r"[\[>;= ]", each)[0] for each in wanted} - {"jacengine"}

    assert names <= pinned


def test_quick_benchmarks_exist() -> None:
    """A name that no benchmark has would select nothing."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [quick] = re.findall(r"^QUICK := (.+)$", makefile, re.MULTILINE)
    sources = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "bench").rglob("*.py")
    )

    for name in quick.split(" or "):
        stem = re.sub(r"(_\d+)+$", "", name).removesuffix("_sparse")
        assert stem in sources, name
