from dataclasses import replace
from pathlib import Path

import pytest

from jacengine.errors import ArgumentError
from jacengine.report import write_report
from jacengine.sweep.case_spec import Settings, Trial
from jacengine.sweep.journal import begun, read_journal
from jacengine.sweep.manifest import Header
from jacengine.sweep.merge import OtherMachineError, merged, write_journal
from jacengine.sweep.runs import joined, read_run
from tests.sweep.build import MACHINE, case, header, report, row

TRIALS = (Trial("one", 2), Trial("two", 2), Trial("three", 2))


def share(folder: Path, content: Header, *names: str) -> Path:
    with begun(folder, content) as writer:
        for name in names:
            writer.append(case(name, row("a", [1.0])))
    return folder


def test_shares_become_a_whole(tmp_path: Path) -> None:
    one = share(tmp_path / "1", header(TRIALS[0], TRIALS[2]), "one/2", "three/2")
    two = share(tmp_path / "2", header(TRIALS[1]), "two/2")

    write_journal(tmp_path / "whole", merged([one, two]))

    journal = read_journal(tmp_path / "whole")
    assert {case.name for case in journal.cases} == {"one/2", "two/2", "three/2"}
    assert journal.left == ()
    assert "shard" not in journal.header.options


def test_what_is_missing_is_known(tmp_path: Path) -> None:
    one = share(tmp_path / "1", header(TRIALS[0], TRIALS[2]), "one/2")

    assert merged([one]).left == (TRIALS[2],)


def test_a_case_is_in_one_share(tmp_path: Path) -> None:
    one = share(tmp_path / "1", header(TRIALS[0]))

    with pytest.raises(ArgumentError, match="one/2 once more"):
        merged([one, one])


def test_settings_must_agree(tmp_path: Path) -> None:
    one = share(tmp_path / "1", header(TRIALS[0]))
    two = share(tmp_path / "2", header(TRIALS[1], settings=Settings(seed=1)))

    with pytest.raises(ArgumentError, match="different settings"):
        merged([one, two])


def test_machines_must_agree_unless_it_is_meant(tmp_path: Path) -> None:
    one = share(tmp_path / "1", header(TRIALS[0]))
    other = header(TRIALS[1], machine=replace(MACHINE, cores=64))
    two = share(tmp_path / "2", other)

    with pytest.raises(OtherMachineError, match="cores: '2' and '64'"):
        merged([one, two])
    assert len(merged([one, two], mixed=True).header.trials) == 2


def test_runs_are_read_from_any_of_their_files(tmp_path: Path) -> None:
    sweep = share(tmp_path / "1", header(TRIALS[0]), "one/2")
    written = report(case("one/2", row("a", [1.0])))
    write_report(written, tmp_path / "2")

    for path in (sweep, sweep / "results.jsonl", tmp_path / "2"):
        assert [case.name for case in read_run(path).cases] == ["one/2"]
    assert read_run(tmp_path / "2" / "results.json") == written


def test_things_that_are_no_runs(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="There is no"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(ArgumentError, match="no results"):
        read_run(tmp_path)
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(ArgumentError, match="no results"):
        read_run(tmp_path / "x.json")


def test_runs_of_one_machine_make_one_report(tmp_path: Path) -> None:
    one = share(tmp_path / "1", header(TRIALS[0], TRIALS[2]), "one/2")
    two = share(tmp_path / "2", header(TRIALS[0]), "one/2")

    found = joined([one, two])

    assert [case.name for case in found.cases] == ["one/2"]
    assert found.planned == 2
    other = share(tmp_path / "3", header(machine=replace(MACHINE, cpu="Other")))
    with pytest.raises(OtherMachineError):
        joined([one, other])
