import pytest
from pydantic import ValidationError

from ok_ml.config.models import DatasetConfig, TableMapping
from ok_ml.config.sections.row_conditions import Comparison, parse_condition


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sales_value <= 0", [Comparison("sales_value", "<=", (0,))]),
        ("a.b >= -1.5e3", [Comparison("a.b", ">=", (-1500.0,))]),
        ("s == 'x and y' and t != \"it's\"", [Comparison("s", "==", ("x and y",)), Comparison("t", "!=", ("it's",))]),
        ("k in (1, 'a,b', true)", [Comparison("k", "in", (1, "a,b", True))]),
        ("`odd name` is not null", [Comparison("odd name", "is not null")]),
        ("x is null", [Comparison("x", "is null")]),
    ],
)
def test_parse(text: str, expected: list[Comparison]) -> None:
    assert parse_condition(text) == tuple(expected)


@pytest.mark.parametrize(
    "text", ["", "x", "x = 1", "x <", "x < y", "x < 1 or y < 2", "__import__('os').system('true')", "x in 1", "1 < 2"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected `column operator literal`"):
        parse_condition(text)


def test_a_mapping_with_a_bad_condition_names_the_reason() -> None:
    with pytest.raises(ValidationError, match=r"no_sale: .*'sales <> 0'"):
        TableMapping.model_validate({"path": "x", "columns": {}, "drop_if": {"no_sale": "sales <> 0"}})


EVENTS = {
    "path": "x",
    "columns": {"user_id": "u", "source_id": "s", "item_id": "i", "event_type": "e"},
    "time": {"columns": ["t"]},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"events": EVENTS | {"columns": {"user_id": "u"}}}, "events: columns or constants must name 'source_id'"),
        (
            {"users": {"path": "x", "columns": {"user_id": "u", "agee": "a"}}},
            "users: 'agee' is not a canonical column: one of user_id, name",
        ),
        ({"events": EVENTS | {"event_types": {"x": "likes"}}}, "event type 'likes' is not canonical"),
        (
            {"events": EVENTS | {"time": {"columns": ["y", "m"]}}},
            "expected one column, or year, month, day; received 2",
        ),
        (
            {"subscriptions": {"path": "subs.csv", "columns": {"user_id": "u", "source_id": "s"}}},
            "without {dt} in its path knows the future",
        ),
    ],
)
def test_a_dataset_that_cannot_be_read_is_refused(changes: dict[str, object], message: str) -> None:
    whole = {
        "dataset": "d",
        "description": "",
        "owners": ["a@b.c"],
        "events": EVENTS,
        "has_impressions": False,
        "weights": {},
        "grades": {},
    }
    with pytest.raises(ValidationError) as caught:
        DatasetConfig.model_validate(whole | changes)
    assert message in str(caught.value)
