import pytest

from ok_ml.errors import DataError
from ok_ml.partitions import before, partitions_to_add, training_calendar, window

DAYS = [f"2024-03-{day:02}" for day in range(1, 11)]
MONTHS = ["2009-11-01", "2009-12-01", "2010-01-01", "2010-02-01", "2010-03-01"]


def test_a_window_ends_with_its_day_and_skips_holes() -> None:
    assert window(DAYS, "2024-03-04", 3) == ["2024-03-02", "2024-03-03", "2024-03-04"]
    assert window([dt for dt in DAYS if dt != "2024-03-03"], "2024-03-04", 3) == ["2024-03-02", "2024-03-04"]
    assert window(DAYS, "2024-03-01", 30) == ["2024-03-01"]


def test_days_of_a_window_are_calendar_days_for_months_too() -> None:
    assert window(MONTHS, "2010-03-01", 28) == ["2010-03-01"]
    assert window(MONTHS, "2010-03-01", 29) == ["2010-02-01", "2010-03-01"]
    assert window(MONTHS, "2010-03-01", 60) == ["2010-01-01", "2010-02-01", "2010-03-01"]


def test_before_is_the_committed_partition_before() -> None:
    assert before(["2024-03-07", "2024-03-01"], "2024-03-05") == "2024-03-01"
    with pytest.raises(
        DataError, match=r"no committed partition before 2024-03-01 \(committed: 2024-03-01 .. 2024-03-10, 10 in all\)"
    ):
        before(DAYS, "2024-03-01")


def test_labels_come_before_evaluation_and_every_cut_before_what_it_must_not_see() -> None:
    plan = training_calendar(DAYS[::-1], label_days=3, evaluation_days=2)
    assert plan.eval_dts == ("2024-03-09", "2024-03-10")
    assert plan.label_dts == ("2024-03-06", "2024-03-07", "2024-03-08")
    assert (plan.windows[0].cut, plan.eval_cut, plan.serve_cut) == ("2024-03-05", "2024-03-08", "2024-03-10")


def test_a_calendar_of_months() -> None:
    plan = training_calendar(MONTHS, label_days=40, evaluation_days=20)
    assert (plan.label_dts, plan.eval_dts) == (("2010-01-01", "2010-02-01"), ("2010-03-01",))
    assert (plan.windows[0].cut, plan.eval_cut) == ("2009-12-01", "2010-02-01")


@pytest.mark.parametrize(
    ("days", "message"), [([], "no committed partition at all"), (DAYS[:5], "no committed partition before 2024-03-01")]
)
def test_too_short_a_history_is_an_error(days: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        training_calendar(days, label_days=3, evaluation_days=3)


def test_a_late_day_takes_the_known_ones_out_first() -> None:
    assert partitions_to_add([], ["b", "a"]) == (["a", "b"], [])
    assert partitions_to_add(["a", "b"], ["b", "c"]) == (["c"], [])
    assert partitions_to_add(["a", "c"], ["a", "b", "c"]) == (["a", "b", "c"], ["a", "c"])
    assert partitions_to_add(["a", "c"], ["a"]) == ([], [])
    assert partitions_to_add(["b", "a"], ["c"]) == (["a", "b", "c"], ["b", "a"])
