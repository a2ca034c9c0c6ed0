"""The examples in docstrings run."""

import doctest
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator

import pytest

import jacengine


def modules_with_examples() -> Iterator[str]:
    yield "jacengine"
    for found in pkgutil.walk_packages(jacengine.__path__, "jacengine."):
        spec = found.module_finder.find_spec(found.name, None)
        if spec is None or spec.origin is None or found.name.endswith("__main__"):
            continue
        with open(spec.origin, encoding="utf-8") as source:  # noqa: PTH123
            if ">>>" in source.read():
                yield found.name


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", list(modules_with_examples()))
def test_examples(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried
    assert not failed


def test_public_functions_have_examples() -> None:
    finder = doctest.DocTestFinder(recurse=False)
    for name in (
        "auto",
        "jacobian",
        "hessian",
        "laplacian",
        "hvp",
        "operator",
        "blocks",
    ):
        (found,) = finder.find(getattr(jacengine, name), name)
        assert found.examples, name


@pytest.mark.parametrize("name", list(modules_with_examples()))
def test_examples_have_the_title_that_the_reference_shows(name: str) -> None:
    source = inspect.getsource(importlib.import_module(name))
    assert not re.search(r"^\s*Example:$", source, re.MULTILINE), "write Examples:"
