import math

import pytest
import torch

from jacengine import timing
from jacengine.report import Row
from jacengine.results.result import Result
from jacengine.sweep.candidate import Candidate
from jacengine.sweep.limits import LIMITS
from jacengine.sweep.measure import time_candidates

LIMIT = LIMITS["quick"]


class Timed(Candidate):
    """Takes a known time, and fails at a given run."""

    def __init__(self, name: str, seconds: float, fails_at: float = math.inf) -> None:
        super().__init__(Row(name, "ok"))
        self.best_s = seconds
        self.runs = 0
        self._fails_at = fails_at

    def run(self) -> float:
        self.runs += 1
        if self.runs == self._fails_at:
            raise TypeError("no more")
        return self.best_s

    def result(self, returned: object) -> Result:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def known_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "seconds", lambda run, _: run())


def test_slow_candidates_take_part_in_fewer_rounds() -> None:
    made = [Timed("fast", 1e-4), Timed("slow", 0.25), Timed("endless", 5.0)]

    time_candidates(made, torch.device("cpu"), LIMIT, seed=0)

    assert [candidate.runs for candidate in made] == [LIMIT.rounds, 3, 1]
    assert made[1].row.times == (0.25,) * 3
    assert made[1].row.time_s == 0.25


def test_a_candidate_that_fails_in_a_round_is_out() -> None:
    made = [Timed("fine", 1e-4), Timed("fails", 1e-4, fails_at=2)]

    time_candidates(made, torch.device("cpu"), LIMIT, seed=0)

    assert [len(candidate.row.times) for candidate in made] == [LIMIT.rounds, 0]
    assert made[1].row.outcome == "error"
    assert "no more" in made[1].row.notes
    assert made[1].runs == 2
