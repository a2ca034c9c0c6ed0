from dataclasses import replace
from pathlib import Path

import pytest

from jacengine.errors import ArgumentError
from jacengine.report import write_report
from jacengine.sweep.case_spec import CaseSpec, Settings
from jacengine.sweep.environment import OtherMachineError
from jacengine.sweep.journal import Manifest, create_journal, read_journal
from jacengine.sweep.merge import merge_shards, read_run, read_runs, write_journal
from tests.sweep.build import MACHINE, case, manifest, report, row

SPECS = (CaseSpec("one", 2), CaseSpec("two", 2), CaseSpec("three", 2))


def share(folder: Path, content: Manifest, *names: str) -> Path:
    with create_journal(folder, content) as writer:
        for name in names:
            writer.append(case(name, row("a", [1.0])))
    return folder


def test_shares_become_a_whole(tmp_path: Path) -> None:
    one = share(tmp_path / "1", manifest(SPECS[0], SPECS[2]), "one/2", "three/2")
    two = share(tmp_path / "2", manifest(SPECS[1]), "two/2")

    write_journal(tmp_path / "whole", merge_shards([one, two]))

    journal = read_journal(tmp_path / "whole")
    assert {case.name for case in journal.cases} == {"one/2", "two/2", "three/2"}
    assert journal.remaining == ()
    assert "shard" not in journal.manifest.options


def test_what_is_missing_is_known(tmp_path: Path) -> None:
    one = share(tmp_path / "1", manifest(SPECS[0], SPECS[2]), "one/2")

    assert merge_shards([one]).remaining == (SPECS[2],)


def test_a_case_is_in_one_share(tmp_path: Path) -> None:
    one = share(tmp_path / "1", manifest(SPECS[0]))

    with pytest.raises(ArgumentError, match="one/2 a second time"):
        merge_shards([one, one])


def test_settings_must_agree(tmp_path: Path) -> None:
    one = share(tmp_path / "1", manifest(SPECS[0]))
    two = share(tmp_path / "2", manifest(SPECS[1], settings=Settings(seed=1)))

    with pytest.raises(ArgumentError, match="different settings"):
        merge_shards([one, two])


def test_machines_must_agree_unless_it_is_meant(tmp_path: Path) -> None:
    one = share(tmp_path / "1", manifest(SPECS[0]))
    other = manifest(SPECS[1], machine=replace(MACHINE, cores=64))
    two = share(tmp_path / "2", other)

    with pytest.raises(OtherMachineError, match="cores: '2' and '64'"):
        merge_shards([one, two])
    assert len(merge_shards([one, two], mixed=True).manifest.cases) == 2


def test_runs_are_read_from_any_of_their_files(tmp_path: Path) -> None:
    sweep = share(tmp_path / "1", manifest(SPECS[0]), "one/2")
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
    one = share(tmp_path / "1", manifest(SPECS[0], SPECS[2]), "one/2")
    two = share(tmp_path / "2", manifest(SPECS[0]), "one/2")

    found = read_runs([one, two])

    assert [case.name for case in found.cases] == ["one/2"]
    assert found.planned == 2
    other = share(tmp_path / "3", manifest(machine=replace(MACHINE, cpu="Other")))
    with pytest.raises(OtherMachineError):
        read_runs([one, other])
