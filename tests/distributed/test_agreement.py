"""Tables of several ranks are merged by the slowest, the wrong and the least."""

from typing import Any

import torch

from jacengine.distributed.agreement import agree
from jacengine.distributed.budget import budgets_of, own_budget

ORDER = ["a", "b", "c"]


def row(name: str, time_s: float, outcome: str = "ok", **more: Any) -> dict[str, Any]:
    return {
        "strategy": name,
        "compiled": False,
        "outcome": outcome,
        "reason": "because",
        "time_s": time_s,
        "bytes": 1,
        **more,
    }


def test_the_slowest_rank_decides() -> None:
    tables = [[row("a", 1.0), row("b", 2.0)], [row("b", 2.0), row("a", 3.0)]]
    assert agree(tables, ORDER).ranked == (("b", False), ("a", False))


def test_ties_go_to_less_memory_and_then_to_the_first() -> None:
    tables = [[row("b", 1.0), row("a", 1.01), row("c", 1.0, bytes=0)]] * 2
    assert [n for n, _ in agree(tables, ORDER).ranked] == ["c", "a", "b"]


def test_one_wrong_result_disqualifies() -> None:
    tables = [[row("a", 1.0), row("b", 2.0)], [row("b", 2.0), row("a", 1.0, "wrong")]]
    found = agree(tables, ORDER)
    assert found.ranked == (("b", False),)
    assert found.blame == (1, "a: wrong: because")


def test_what_is_untried_somewhere_stays_open() -> None:
    tables = [
        [row("a", 1.0), row("b", 9.0, "skipped")],
        [row("b", 2.0), row("a", 9.0, "skipped"), row("c", 1.0, "skipped")],
    ]
    found = agree(tables, ORDER)
    assert found.ranked == ()
    assert found.open == (("a", False), ("b", False))
    assert found.blame is None


def test_compiled_and_eager_are_two() -> None:
    tables = [[row("a", 1.0), row("a", 0.5, compiled=True)]] * 2
    assert agree(tables, ORDER).ranked == (("a", True), ("a", False))


def test_an_unknown_strategy_is_ranked_last_among_equals() -> None:
    tables = [[row("pair", 1.0), row("c", 1.0)]]
    assert [n for n, _ in agree(tables, ORDER).ranked] == ["c", "pair"]


def test_ranks_on_one_device_share_what_is_free() -> None:
    cpu = torch.device("cpu")
    (alone,) = budgets_of([own_budget(None, cpu)])
    shared = budgets_of([own_budget(None, cpu)] * 4)
    assert len(set(shared)) == 1
    assert alone / 8 < shared[0] < alone / 2
    elsewhere = {**own_budget(0.5, cpu), "place": "another host"}
    assert budgets_of([own_budget("1kB", cpu), elsewhere])[0] == 1000
