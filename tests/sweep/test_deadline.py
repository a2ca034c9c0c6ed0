import time

import pytest

from jacengine.sweep.deadline import DeadlineError, deadline


def test_a_deadline_ends_a_loop_and_leaves_no_timer() -> None:
    def endless() -> None:
        while True:
            time.sleep(0.001)

    with pytest.raises(DeadlineError), deadline(0.02):
        endless()
    with deadline(0.02):
        pass
    time.sleep(0.05)
