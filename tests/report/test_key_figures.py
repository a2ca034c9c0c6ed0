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
    """The means of 1, 1.02, 1.5 and 1, and of 1/3, 0.51 and 1.5."""
    rankings = [Ranking(each) for each in LOSING.cases]
    assert headline(rankings) == (
        f"auto takes 1.11{TIMES} the time of the best strategy and 0.63{TIMES} that of "
        "the fastest other library"
    )


def test_headline_of_one_case() -> None:
    found = case("a", ok("fast", 1.0), auto(1.25), library("torch", 0.5))

    assert headline([Ranking(found)]) == (
        f"auto takes 1.25{TIMES} the time of the best strategy and 2.50{TIMES} that of "
        "the fastest other library"
    )


def test_key_figures_of_the_example() -> None:
    found = key_figures([Ranking(each) for each in example().cases])

    assert [value for value, _ in found] == ["2", "8", f"8.00{TIMES}"]
    assert found[1][1].startswith("of 9 results agree")
    assert key_figures([]) == []


@pytest.mark.parametrize("removed", ["auto", "library", "neither"])
def test_key_figures_mention_libraries_only_if_they_took_part(removed: str) -> None:
    cases = without(sweep(3), removed).cases
    labels = [label for _, label in key_figures([Ranking(each) for each in cases])]

    assert any("other library" in label for label in labels) == (removed == "neither")
