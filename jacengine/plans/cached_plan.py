"""A plan in the process cache, and when calls have paid for a better one.

The ski-rental rule: as much use is expected as there has been. Once calls of the first
choice have taken what a race costs, a race is run. So the total time, choice included,
is at most about twice that of whoever had known the number of calls.
"""

from __future__ import annotations

import sys

from jacengine.plans.plan import Plan
from jacengine.selection.select import BUSY, load_of_a_core

RACE_S, RACE_CALLS = 0.16, 8
"""What a race takes: so many seconds, or so many calls if that is more."""
READING_S, IMPORT_S = 0.3, 1.0
"""What it takes to find a sparsity pattern, and to import TorchDynamo before."""


class CachedPlan:
    """A plan of no function, and the time that calls of it have taken.

    Attributes:
        plan: The plan; it is replaced when a race has chosen another.
    """

    def __init__(self, plan: Plan, calls: int | None = None) -> None:
        """Begin with what the first call has chosen.

        Args:
            plan: The plan.
            calls: How many calls there will be, if the user knows.
        """
        self.plan = plan
        chosen = plan.chosen
        self._call_s = chosen.time_s or chosen.first_s or 0.0
        self._spent_s = 0.0 if calls is None else (calls - 1) * self._call_s

    @property
    def pays(self) -> bool:
        """Whether a race pays, as far as anybody knows.

        It is run once, and again on a quiet machine if other work disturbed it.
        """
        selection = self.plan.selection
        final = selection.raced and not selection.unstable
        if final or selection.effort == "none" or self._spent_s < self._price_s():
            return False
        return not selection.raced or load_of_a_core() <= BUSY

    def spend(self, seconds: float) -> None:
        """Account for a call."""
        self._spent_s += seconds
        self._call_s = min(self._call_s, seconds)  # a first one includes set-up

    def _price_s(self) -> float:
        """Predict what a race takes, and finding a pattern where J looks sparse."""
        price = max(RACE_S, RACE_CALLS * self._call_s)
        if self.plan.problem.looks_sparse:
            imported = "torch._dynamo" in sys.modules
            price += READING_S + (0.0 if imported else IMPORT_S)
        return price

    def replace(self, plan: Plan) -> None:
        """Take another plan from now on."""
        self.plan = plan
        self._spent_s = 0.0
