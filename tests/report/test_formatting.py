from jacengine.report.formatting import (
    abbreviated,
    enumerated,
    name,
    render_names,
)


def test_items_are_enumerated() -> None:
    assert enumerated([]) == ""
    assert enumerated(["a"]) == "a"
    assert enumerated(["a", "b", "c"]) == "a, b and c"


def test_many_items_are_abbreviated() -> None:
    assert abbreviated("abcdef") == "a, b, c, d, e and f"
    assert abbreviated("abcdefg") == "a, b, c, d, e and 2 more"


def test_names_are_distinguished_from_text() -> None:
    sentence = f"{name('a')} beats {enumerated([name('b'), name('c')])}"

    assert render_names(sentence) == "a beats b and c"
    assert render_names(sentence, str.upper, str.title) == "A Beats B And C"
