from jacengine.report import Row
from jacengine.report.failures import failures
from jacengine.report.ranking import Ranking
from tests.report.build import case, ok


def test_failures_are_grouped_and_the_most_severe_come_first() -> None:
    cases = [
        case(
            name,
            ok("fast", 1.0),
            Row("opacus", "skipped", "not installed", kind="library"),
            Row("slow", "skipped", "too slow to win", time_s=9.0),
            Row("broken", "wrong", f"off on {name}"),
        )
        for name in ("p", "q")
    ]
    found = failures([Ranking(each) for each in cases])

    assert [(f.method, f.outcome, f.where, f.everywhere) for f in found] == [
        ("broken", "wrong", ("p",), False),
        ("broken", "wrong", ("q",), False),
        ("opacus", "skipped", ("p", "q"), True),
    ]
    assert [f.expected for f in found] == [False, False, True]
