import json
from pathlib import Path

import pytest

from jacengine.commands import doctor
from jacengine.plans import disk_cache
from tests.commands.build import run


def test_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LOAD_S", 0.01)

    result = run("doctor", "--format", "json")

    assert result.exit_code == 0, result.output
    found = {check["check"]: check for check in json.loads(result.stdout)}
    assert found["vmap_vjp"]["message"] == "correct for inputs and parameters"
    assert found["cache"]["status"] == "warning"
    assert {"threads", "load", "timer", "vmap(jacrev)"} <= found.keys()
    assert "Processor" in run("doctor").stdout


def test_doctor_finds_what_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LOAD_S", 0.0)
    monkeypatch.setattr(doctor, "broken_plugins", lambda: {"x": "[bold]gone"})

    result = run("doctor")

    assert result.exit_code == 1
    assert "plug-in x: [bold]gone" in result.stdout


def test_doctor_looks_at_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(disk_cache, "folder", lambda: tmp_path / "file" / "below")
    checks = {check.check: check for check in doctor.run_checks()}

    assert "not writable" in checks["cache"].message
