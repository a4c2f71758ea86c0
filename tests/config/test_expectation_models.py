"""Expectations in the YAML: names and arguments are told with their place, without Great Expectations where that suffices."""

import subprocess
import sys
from pathlib import Path

import pytest

from ok_ml.config.gx import build, expectation_class, installed
from ok_ml.config.loader import find_problems, load_project
from ok_ml.config.sections.expectation_models import Named, gallery
from ok_ml.errors import ConfigError
from tests.small_project import edit, write

DATASET, EXPERIMENT = "configs/datasets/toy.yml", "configs/experiments/toy_sources.yml"
GROUP = """
checks:
  expectations:
    - table: events
      severity: warning
      expect:
        - {first}
        - expect_table_row_count_to_be_between: {{min_value: 1, severity: critical}}
"""
OWN = """\
import great_expectations.expectations as gxe


class ExpectFew(gxe.ExpectTableRowCountToBeBetween):
    max_value: int = 10


NUMBER = 1
"""


def expect(root: Path, first: str) -> None:
    edit(root, DATASET, "has_impressions: true", "has_impressions: true" + GROUP.format(first=first))


def test_the_list_of_names_and_arguments_is_that_of_the_installed_great_expectations() -> None:
    assert gallery() == installed(), "write it anew: python -m ok_ml.config.gx"


def test_what_the_yaml_says_becomes_named_expectations_with_a_severity_each(root: Path) -> None:
    expect(root, "expect_column_values_to_be_in_set: {column: content_type, value_set: [text, photo]}")
    [group] = load_project(root).datasets["toy"].checks.expectations
    assert list(group.named) == [
        Named("expect_column_values_to_be_in_set", {"column": "content_type", "value_set": ["text", "photo"]}, "warn"),
        Named("expect_table_row_count_to_be_between", {"min_value": 1, "severity": "critical"}, "block"),
    ]
    assert [one.column for one in group.named] == ["content_type", ""]
    assert find_problems(root) == []


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("expect_colum_max_to_be_between: {column: x}", "got 'expect_colum_max_to_be_between'; close ones: expect_column_max_to_be_between,"),
        ("ExpectColumnMaxToBeBetween: {column: x}", "close ones: expect_column_max_to_be_between,"),
        ("expect_nothing_of_this_kind_at_all_zzz: {}", "see https://greatexpectations.io/expectations"),
        ("expect_column_max_to_be_between: {column: x, maximum: 3}", "expected one of column, condition_parser, description"),
        ("expect_column_values_to_be_in_set: {column: x}", "expected 'value_set' among the arguments of expect_column_values_to_be_in_set, got column"),
        ("expect_column_to_exist: {column: x, severity: high}", "expected critical or warning, got 'high'"),
        ("ideas/none.py:ExpectFew: {}", "found no file for 'ideas/none.py' below the project"),
        ("ideas/own.py:ExpectFwe: {}", "found ExpectFew, NUMBER, gxe; did you mean 'ExpectFew'?"),
    ],
)  # fmt: skip
def test_a_wrong_name_or_argument_is_told_with_its_place_when_the_configuration_is_loaded(
    root: Path, first: str, said: str
) -> None:
    write(root, "ideas/own.py", OWN)
    expect(root, first)
    with pytest.raises(ConfigError) as raised:
        load_project(root)
    [problem] = raised.value.problems
    assert said in problem
    line = next(
        number
        for number, text in enumerate((root / DATASET).read_text().splitlines(), 1)
        if first.split(":", maxsplit=1)[0] in text
    )
    assert problem.startswith(f"{DATASET}:{line}:")


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("expect_column_max_to_be_between: {column: x, min_value: [3]}", "min_value: value is not a valid float"),
        ("expect_column_values_to_match_regex: {column: x, regex: a, mostly: 3}", "mostly"),
        ("ideas/own.py:ExpectFew: {column: x}", "column: extra fields not permitted"),
        ("ideas/own.py:NUMBER: {}", "is a int, expected a class of great_expectations.expectations"),
    ],
)
def test_what_only_great_expectations_can_refuse_is_told_by_validate(root: Path, first: str, said: str) -> None:
    write(root, "ideas/own.py", OWN)
    expect(root, first)
    load_project(root)
    [problem] = find_problems(root)
    assert said in problem
    assert problem.startswith(f"{DATASET}:")


def test_an_experiment_s_are_held_against_the_same_list(root: Path) -> None:
    group = "\nchecks: {expectations: [{table: user_features, expect: [{expect_column_to_exit: {column: x}}]}]}"
    edit(root, EXPERIMENT, "release: {cycle: manual}", "release: {cycle: manual}" + group)
    [problem] = find_problems(root)
    assert "close ones: expect_column_to_exist" in problem


def test_an_unknown_table_lists_the_known_ones(root: Path) -> None:
    expect(root, "expect_column_to_exist: {column: x}")
    edit(root, DATASET, "table: events", "table: event")
    [problem] = find_problems(root)
    assert "expected one of event_statistics, events, friends" in problem
    assert "did you mean 'events'?" in problem


def test_an_own_class_is_built_with_its_arguments(root: Path) -> None:
    write(root, "ideas/own.py", OWN)
    assert expectation_class("ideas/own.py:ExpectFew", root).__name__ == "ExpectFew"
    assert build("ideas/own.py:ExpectFew", {"min_value": 2}, root).min_value == 2


def test_a_configuration_with_expectations_loads_without_great_expectations(root: Path) -> None:
    expect(root, "expect_column_values_to_be_in_set: {column: content_type, value_set: [text]}")
    code = (
        "import sys; from pathlib import Path; from ok_ml.config.loader import load_project;"
        f"load_project(Path({str(root)!r})); print('great_expectations' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "False\n"
