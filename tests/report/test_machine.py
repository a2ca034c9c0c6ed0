import platform
import re
from getpass import getuser
from pathlib import Path

import torch

from jacengine.report import Machine


def test_facts_are_those_of_this_machine() -> None:
    facts = dict(Machine.here().facts())

    assert facts["PyTorch"] == torch.__version__
    assert facts["Threads"] == str(torch.get_num_threads())
    assert facts["Python"] == platform.python_version()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", facts["Date"])
    assert all(facts.values())


def test_no_user_or_host_is_named() -> None:
    text = " ".join(value for _, value in Machine.here().facts())

    assert platform.node() not in text
    assert getuser() not in text
    assert str(Path.home()) not in text


def test_versions_of_other_libraries_are_listed_where_they_are_installed() -> None:
    facts = dict(Machine.here(["torch", "no-such-library"]).facts())

    assert facts["Other libraries"] == f"torch {torch.__version__}"
