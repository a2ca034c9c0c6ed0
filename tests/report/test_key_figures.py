import pytest

from jacengine.report.formatting import TIMES
from jacengine.report.key_figures import headline, key_figures
from jacengine.report.ranking import Ranking
from tests.report.build import (
    LOSING,
    auto,
    case,
    example,
    library,
    ok,
    sweep,
    without,
)


def test_headlines() -> None:
    first, second, third = (Ranking(each) for each in example().cases)

    assert headline([first, second, third]) == (
        "No method is always the fastest: 3 problems, 2 winners"
    )
    assert headline([first, second]) == "One method is the fastest on 2 problems"
    assert headline([]) == "Nothing was computed"


def test_headline_about_auto() -> None:
    rankings = [Ranking(each) for each in LOSING.cases]
    assert headline(rankings) == (
        f"auto is within 3 % of the best strategy on 2 of 3 workloads, and 1.58{TIMES} "
        "as fast as the best other library"
    )


def test_a_headline_claims_no_lead_where_auto_is_slower() -> None:
    found = case("a", ok("fast", 1.0), auto(1.0), library("torch", 0.5))

    assert "as fast as the best" not in headline([Ranking(found)])


def test_key_figures_of_the_example() -> None:
    found = key_figures([Ranking(each) for each in example().cases])

    assert [value for value, _ in found] == [
        "3 of 3",
        "2",
        f"8.00{TIMES}",
        f"8.00{TIMES}",
    ]
    assert key_figures([]) == []


@pytest.mark.parametrize("removed", ["auto", "library", "neither"])
def test_key_figures_mention_libraries_only_if_they_took_part(removed: str) -> None:
    cases = without(sweep(3), removed).cases
    labels = [label for _, label in key_figures([Ranking(each) for each in cases])]

    assert any("other library" in label for label in labels) == (removed == "neither")
