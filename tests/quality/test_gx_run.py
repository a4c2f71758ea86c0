"""Every expectation of Great Expectations runs: one set of arguments that holds and one that does not, and what is told."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from ok_ml.config.sections.expectation_models import Named, gallery
from ok_ml.quality.gx.gx_run import DATA_SOURCE, Rows, run
from ok_ml.quality.gx.row_sample import RowSample
from tests.small_project import write

N = 200
FRAME = pd.DataFrame(
    {
        "id": np.arange(N),
        "half": np.arange(N) // 2,
        "kind": ["text", "photo"] * (N // 2),
        "maybe": ["x", None] * (N // 2),
        "json": ['{"a": 1}'] * N,
        "day": ["2026-01-05"] * N,
        "spread": np.linspace(0.0, 1.0, N),
        "time": pd.date_range(datetime(2026, 1, 5, tzinfo=UTC), periods=N, freq="min"),
        "sources": [np.array([1, 2])] * N,
    }
)
USERS = pd.DataFrame({"user_id": np.arange(N)})
SCHEMA = {"type": "object", "required": ["a"]}
TEXTS = {"values": ["text", "photo"], "weights": [0.5, 0.5]}
COUNT = {"base_query": "SELECT count(*) FROM events", "comparison_data_source_name": DATA_SOURCE}

# expectation -> arguments that hold, arguments that do not
CASES = {
    "expect_column_distinct_values_to_be_in_set": ({"column": "kind", "value_set": ["text", "photo", "x"]}, {"column": "kind", "value_set": ["text"]}),
    "expect_column_distinct_values_to_contain_set": ({"column": "kind", "value_set": ["text"]}, {"column": "kind", "value_set": ["video"]}),
    "expect_column_distinct_values_to_equal_set": ({"column": "kind", "value_set": ["text", "photo"]}, {"column": "kind", "value_set": ["text"]}),
    "expect_column_kl_divergence_to_be_less_than": ({"column": "kind", "partition_object": TEXTS, "threshold": 0.1}, {"column": "kind", "partition_object": {"values": ["text", "photo"], "weights": [0.9, 0.1]}, "threshold": 0.1}),
    "expect_column_max_to_be_between": ({"column": "id", "max_value": N}, {"column": "id", "max_value": 5}),
    "expect_column_mean_to_be_between": ({"column": "spread", "min_value": 0.4, "max_value": 0.6}, {"column": "spread", "max_value": 0.4}),
    "expect_column_median_to_be_between": ({"column": "spread", "min_value": 0.4, "max_value": 0.6}, {"column": "spread", "max_value": 0.4}),
    "expect_column_min_to_be_between": ({"column": "id", "min_value": 0}, {"column": "id", "min_value": 1}),
    "expect_column_most_common_value_to_be_in_set": ({"column": "json", "value_set": ['{"a": 1}']}, {"column": "json", "value_set": ["x"]}),
    "expect_column_pair_values_a_to_be_greater_than_b": ({"column_A": "id", "column_B": "half", "or_equal": True}, {"column_A": "half", "column_B": "id"}),
    "expect_column_pair_values_to_be_equal": ({"column_A": "id", "column_B": "id"}, {"column_A": "id", "column_B": "half"}),
    "expect_column_pair_values_to_be_in_set": ({"column_A": "kind", "column_B": "day", "value_pairs_set": [["text", "2026-01-05"], ["photo", "2026-01-05"]]}, {"column_A": "kind", "column_B": "day", "value_pairs_set": [["text", "2026-01-05"]]}),
    "expect_column_proportion_of_non_null_values_to_be_between": ({"column": "maybe", "max_value": 0.5}, {"column": "maybe", "min_value": 0.6}),
    "expect_column_proportion_of_unique_values_to_be_between": ({"column": "id", "min_value": 1.0}, {"column": "kind", "min_value": 0.5}),
    "expect_column_quantile_values_to_be_between": ({"column": "spread", "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[0.4, 0.6]]}}, {"column": "spread", "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[0.6, 0.7]]}}),
    "expect_column_stdev_to_be_between": ({"column": "spread", "max_value": 0.5}, {"column": "spread", "min_value": 0.5}),
    "expect_column_sum_to_be_between": ({"column": "spread", "min_value": 99, "max_value": 101}, {"column": "spread", "max_value": 99}),
    "expect_column_to_exist": ({"column": "kind"}, {"column": "nope"}),
    "expect_column_type_to_be": ({"column": "id", "type_": "int64"}, {"column": "id", "type_": "str"}),
    "expect_column_unique_value_count_to_be_between": ({"column": "kind", "max_value": 2}, {"column": "kind", "max_value": 1}),
    "expect_column_value_lengths_to_be_between": ({"column": "kind", "min_value": 4, "max_value": 5}, {"column": "kind", "max_value": 4}),
    "expect_column_value_lengths_to_equal": ({"column": "day", "value": 10}, {"column": "kind", "value": 4}),
    "expect_column_value_z_scores_to_be_less_than": ({"column": "spread", "threshold": 3, "double_sided": True}, {"column": "spread", "threshold": 1, "double_sided": True}),
    "expect_column_values_to_be_between": ({"column": "id", "min_value": 0, "max_value": N}, {"column": "id", "min_value": 1}),
    "expect_column_values_to_be_dateutil_parseable": ({"column": "day"}, {"column": "kind"}),
    "expect_column_values_to_be_decreasing": ({"column": "json_length"}, {"column": "id"}),
    "expect_column_values_to_be_in_set": ({"column": "kind", "value_set": ["text", "photo"]}, {"column": "kind", "value_set": ["text"]}),
    "expect_column_values_to_be_in_type_list": ({"column": "id", "type_list": ["int64", "int32"]}, {"column": "id", "type_list": ["str"]}),
    "expect_column_values_to_be_increasing": ({"column": "id", "strictly": True}, {"column": "half", "strictly": True}),
    "expect_column_values_to_be_json_parseable": ({"column": "json"}, {"column": "kind"}),
    "expect_column_values_to_be_null": ({"column": "maybe", "mostly": 0.5}, {"column": "maybe"}),
    "expect_column_values_to_be_of_type": ({"column": "id", "type_": "int64"}, {"column": "id", "type_": "str"}),
    "expect_column_values_to_be_unique": ({"column": "id"}, {"column": "half"}),
    "expect_column_values_to_match_json_schema": ({"column": "json", "json_schema": SCHEMA}, {"column": "json", "json_schema": {"type": "object", "required": ["b"]}}),
    "expect_column_values_to_match_like_pattern": ({"column": "day", "like_pattern": "2026-%"}, {"column": "kind", "like_pattern": "t%"}),
    "expect_column_values_to_match_like_pattern_list": ({"column": "kind", "like_pattern_list": ["t%", "p%"]}, {"column": "kind", "like_pattern_list": ["t%"]}),
    "expect_column_values_to_match_regex": ({"column": "kind", "regex": "^[a-z]+$"}, {"column": "kind", "regex": "^t"}),
    "expect_column_values_to_match_regex_list": ({"column": "kind", "regex_list": ["^t", "^p"]}, {"column": "kind", "regex_list": ["^t"]}),
    "expect_column_values_to_match_strftime_format": ({"column": "day", "strftime_format": "%Y-%m-%d"}, {"column": "kind", "strftime_format": "%Y"}),
    "expect_column_values_to_not_be_in_set": ({"column": "kind", "value_set": ["video"]}, {"column": "kind", "value_set": ["text"]}),
    "expect_column_values_to_not_be_null": ({"column": "kind"}, {"column": "maybe"}),
    "expect_column_values_to_not_be_outliers": ({"column": "spread", "method": "iqr", "multiplier": 1.5}, {"column": "spread", "method": "iqr", "multiplier": 0.1}),
    "expect_column_values_to_not_match_like_pattern": ({"column": "day", "like_pattern": "x%"}, {"column": "kind", "like_pattern": "t%"}),
    "expect_column_values_to_not_match_like_pattern_list": ({"column": "day", "like_pattern_list": ["x%"]}, {"column": "kind", "like_pattern_list": ["t%", "x%"]}),
    "expect_column_values_to_not_match_regex": ({"column": "kind", "regex": "^x"}, {"column": "kind", "regex": "^t"}),
    "expect_column_values_to_not_match_regex_list": ({"column": "kind", "regex_list": ["^x"]}, {"column": "kind", "regex_list": ["^t", "^x"]}),
    "expect_compound_columns_to_be_unique": ({"column_list": ["id", "kind"]}, {"column_list": ["kind", "day"]}),
    "expect_multicolumn_sum_to_equal": ({"column_list": ["id", "minus"], "sum_total": 0}, {"column_list": ["id", "half"], "sum_total": 0}),
    "expect_multicolumn_values_to_be_equal": ({"column_list": ["id", "same"]}, {"column_list": ["id", "half"]}),
    "expect_query_results_to_match_comparison": ({**COUNT, "comparison_query": "SELECT count(*) FROM users"}, {**COUNT, "comparison_query": "SELECT 3"}),
    "expect_select_column_values_to_be_unique_within_record": ({"column_list": ["kind", "day"]}, {"column_list": ["id", "same"]}),
    "expect_table_column_count_to_be_between": ({"min_value": 3}, {"max_value": 3}),
    "expect_table_column_count_to_equal": ({"value": 12}, {"value": 3}),
    "expect_table_columns_to_match_ordered_list": ({"column_list": [*FRAME.columns, "minus", "same", "json_length"]}, {"column_list": ["id"]}),
    "expect_table_columns_to_match_set": ({"column_set": ["id"], "exact_match": False}, {"column_set": ["id"]}),
    "expect_table_row_count_to_be_between": ({"min_value": N}, {"max_value": 3}),
    "expect_table_row_count_to_equal": ({"value": N}, {"value": 3}),
    "expect_table_row_count_to_equal_other_table": ({"other_table_name": "users"}, {"other_table_name": "friends"}),
    "unexpected_rows_expectation": ({"unexpected_rows_query": "SELECT * FROM {batch} WHERE id < 0"}, {"unexpected_rows_query": "SELECT * FROM {batch} WHERE id < 5"}),
}  # fmt: skip


@pytest.fixture
def rows(tmp_path):
    frame = FRAME.assign(minus=-FRAME["id"], same=FRAME["id"], json_length=8)
    others = {"users": USERS, "friends": USERS.head(3)}
    return Rows(
        "events", RowSample(frame, N), lambda name: RowSample(others[name], len(others[name])), [*others], tmp_path
    )


def outcome(rows, name, root=None, **arguments):
    [found] = run([Named(name, arguments, "block")], rows, root or rows.scratch)
    return found


def test_there_is_a_case_for_every_expectation_that_great_expectations_has():
    assert set(CASES) == set(gallery())


@pytest.mark.parametrize("name", CASES)
def test_it_is_computed_holds_and_fails(rows, name):
    holds, fails = CASES[name]
    found = run([Named(name, holds, "block"), Named(name, fails, "warn")], rows, rows.scratch)
    assert [one.error for one in found] == ["", ""]
    assert [one.passed for one in found] == [True, False], found
    assert [one.severity for one in found] == ["block", "warn"]
    assert all(one.expected and one.observed and "np." not in one.observed for one in found)


def test_unexpected_values_are_counted_with_their_share_and_twenty_examples(rows):
    found = outcome(rows, "expect_column_values_to_match_regex", column="kind", regex="^t")
    assert (found.unexpected, found.unexpected_percent, found.rows) == (100, 50.0, N)
    assert found.examples == ("photo",) * 20
    assert found.observed == "100 of 200 values unexpected (50 %), such as photo"
    assert found.expected == "kind values must match this regular expression: ^t."


def test_a_number_of_a_column_is_told_as_it_is(rows):
    found = outcome(rows, "expect_column_mean_to_be_between", column="spread", max_value=0.1)
    assert (found.observed, found.unexpected, found.examples) == ("0.5", None, ())


def test_what_cannot_be_computed_says_so_and_takes_no_other_with_it(rows):
    found = run(
        [
            Named("expect_column_max_to_be_between", {"column": "nope", "max_value": 1}, "block"),
            Named("expect_column_values_to_be_between", {"column": "kind", "min_value": 1}, "block"),
            Named("expect_column_max_to_be_between", {"column": "id", "max_value": [1]}, "block"),
            Named("expect_column_max_to_be_between", {"column": "id", "max_value": N}, "block"),
        ],
        rows,
        rows.scratch,
    )
    assert [one.passed for one in found] == [False, False, False, True]
    assert 'The column "nope" in BatchData does not exist' in found[0].error
    assert found[0].observed.startswith("not computed: ")
    assert "must either be None or of the same type" in found[1].error
    assert "max_value: value is not a valid float" in found[2].error


def test_a_count_of_rows_is_that_of_the_table_and_not_of_the_sample(rows):
    sampled = Rows("events", RowSample(rows.sample.frame.head(20), N), rows.other, rows.tables, rows.scratch)
    found = outcome(sampled, "expect_table_row_count_to_equal", value=N)
    assert (found.passed, found.rows, found.observed) == (True, N, "200")
    assert outcome(sampled, "expect_column_values_to_not_be_null", column="id").rows == 20
    said = outcome(
        sampled, "expect_table_row_count_to_equal", value=N, row_condition="id > 3", condition_parser="pandas"
    )
    assert "needs all of them, got 20 of 200: raise sample_rows" in said.error
    said = outcome(sampled, "expect_table_row_count_to_equal_other_table", other_table_name="users")
    assert "raise sample_rows" in said.error


@pytest.mark.parametrize(
    "condition",
    [
        {"row_condition": 'kind == "text"', "condition_parser": "pandas"},
        {"row_condition": {"type": "comparison", "column": {"name": "kind"}, "operator": "==", "parameter": "text"}},
    ],
)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("expect_column_values_to_be_in_set", {"column": "kind", "value_set": ["text"]}),
        ("expect_column_pair_values_to_be_in_set", {"column_A": "kind", "column_B": "day", "value_pairs_set": [["text", "2026-01-05"]]}),
        ("expect_column_unique_value_count_to_be_between", {"column": "kind", "max_value": 1}),
        ("expect_table_row_count_to_equal", {"value": N // 2}),
    ],
)  # fmt: skip
def test_a_row_condition_picks_the_rows(rows, name, said, condition):
    """Great Expectations itself counts pairs of columns without regard to it."""
    found = outcome(rows, name, **said, **condition)
    assert (found.passed, found.error, found.rows) == (True, "", N // 2)
    assert not outcome(rows, name, **said).passed


OWN = """\
import great_expectations.expectations as gxe
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnMapExpectation
from great_expectations.expectations.metrics import ColumnMapMetricProvider, column_condition_partial


class Even(ColumnMapMetricProvider):
    condition_metric_name = "column_values.even"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column, **_):
        return column % 2 == 0


class ExpectUserIdsEven(ColumnMapExpectation):
    map_metric = "column_values.even"


class ExpectNoOldRows(gxe.UnexpectedRowsExpectation):
    unexpected_rows_query: str = "SELECT * FROM {batch} WHERE id < 5"
    description: str = "no row is old"


class ExpectTrouble(gxe.ExpectColumnMaxToBeBetween):
    def _validate(self, *_, **__):
        raise RuntimeError("by design")
"""


def test_own_expectations_are_held_against_the_rows(rows):
    write(rows.scratch, "my_checks.py", OWN)
    found = outcome(rows, "my_checks.py:ExpectUserIdsEven", column="id")
    assert (found.passed, found.unexpected, found.examples[:3], found.error) == (False, 100, ("1", "3", "5"), "")
    assert outcome(rows, "my_checks.py:ExpectUserIdsEven", column="json_length").passed
    found = outcome(rows, "my_checks.py:ExpectNoOldRows")
    assert (found.passed, found.observed, found.expected) == (False, "5", "no row is old")
    assert "by design" in outcome(rows, "my_checks.py:ExpectTrouble", column="id").error
