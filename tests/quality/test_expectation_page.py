"""The page with everything that was expected of a table: it loads nothing, and says what is in it and no more."""

from html.parser import HTMLParser

from ok_ml.quality.gx.expectation_page import page
from ok_ml.quality.gx.gx_outcomes import Outcome

HOLDS = Outcome("expect_column_to_exist", "kind", "{}", "block", True, "kind is a required field", "nothing", 100)
WARNS = Outcome(
    "my.py:ExpectEven", "id", "{}", "warn", False, "even", "1 of 4 values unexpected", 4, 1, 25.0, ("1", "1", "3")
)
HOSTILE = Outcome(
    "expect_column_values_to_be_in_set", "name", '{"a": "<b>"}', "block", False, "a & b", "seen", 4, 1, 25.0,
    ("<script>alert(1)</script>",),
)  # fmt: skip


class Words(HTMLParser):
    """Text and tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text.append(data)


def test_failures_come_first_each_with_what_it_means_and_its_examples_once():
    found = Words(page("toy/events", "2026-01-05", [HOLDS, WARNS, HOSTILE], "all 100 rows were judged"))
    said = "|".join(found.text)
    assert "2 of 3 expectations failed; all 100 rows were judged." in said
    assert said.index("blocks") < said.index("warns") < said.index("holds")
    assert "25 %" in said
    assert found.text.count("1") == 3, "of each failure the count, and one example of two equal ones"


def test_values_are_text_and_nothing_is_loaded():
    found = Words(page("toy/<events>", "2026-01-05", [HOSTILE], "all"))
    assert "script" not in found.tags
    assert "<script>alert(1)</script>" in found.text
    assert found.addresses == []
