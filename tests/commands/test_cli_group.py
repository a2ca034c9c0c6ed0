import pytest

from jacengine.commands import doctor, main
from tests.commands.build import run


def test_an_unknown_command_suggests_the_nearest() -> None:
    result = run("bensh")

    assert result.exit_code == 2
    assert "Did you mean 'bench'" in result.stderr


@pytest.mark.parametrize("name", ["", *main.commands])
def test_help(name: str) -> None:
    result = run(*name.split(), "--help")

    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")
    assert "Raises" not in result.stdout


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "check_strategy", interrupted)
    monkeypatch.setattr(doctor, "LOAD_S", 0.0)

    assert run("doctor").exit_code == 130
