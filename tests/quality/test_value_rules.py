"""Great Expectations on the small table: which rules fail, and what the finding tells."""

import os
import socket
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ok_ml.config.models import Bounds, DriftConfig, FeatureChecks, Range
from ok_ml.quality.judges.drift import drift_rules, drift_table
from ok_ml.quality.judges.findings import failures, summary
from ok_ml.quality.judges.rules import judge
from ok_ml.quality.judges.value_rules import FeatureRule, value_rules
from ok_ml.quality.statistics.bins import FrozenBins
from ok_ml.quality.statistics.statistics_rows import feature_statistics

DAY = "2018-02-08"
CALM = {"likes": np.arange(1000) % 7, "share": np.linspace(0, 1, 1000), "age": np.arange(1000.0)}
RULES = [FeatureRule("user", "likes", 0, 6), FeatureRule("user", "share", 0.0, 1.0), FeatureRule("user", "age", min=0)]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a rule must not call home")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def judged(tmp_path):
    def statistics(columns, name, bins=None):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({key: np.asarray(values, np.float32) for key, values in columns.items()}), path)
        return feature_statistics({"user": [path]}, dt=DAY, bins=bins)

    def validate(columns, rules=RULES, limits=None):
        reference = statistics(CALM, "reference")
        bins = FrozenBins.from_statistics(reference)
        now = statistics(columns, "now", bins)
        drift, checks = drift_table(now, reference, bins), limits or FeatureChecks()
        known = [(row["entity"], row["feature"]) for row in drift.to_pylist()]
        return judge([*value_rules(now, rules, checks, known), *drift_rules(drift, checks.drift)], DAY)

    return validate


def test_a_quiet_day_passes_every_rule(judged):
    findings = judged(CALM)
    assert failures(findings) == []
    # rows, reference, min, max, two null shares and two PSI limits of three features
    assert len(findings) == 24
    assert all(finding.passed is True for finding in findings)
    assert summary(findings) == "all 24 rules hold"


def test_telemetry_is_off(judged, monkeypatch):
    monkeypatch.setenv("GX_ANALYTICS_ENABLED", "true")
    judged(CALM)
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"


def test_a_value_out_of_range_names_feature_statistic_limit_and_next_step(judged):
    likes = np.array(CALM["likes"])
    likes[0] = 8
    (finding,) = failures(judged(CALM | {"likes": likes}))
    assert (finding.entity, finding.feature, finding.statistic) == ("user", "likes", "max")
    assert (finding.expected, finding.seen, finding.severity) == ("<= 6", "8", "block")
    assert finding.message == (
        "user feature likes on 2018-02-08: max is 8, expected <= 6; see the plot of its distribution;"
        " widen checks.ranges in the experiment's YAML only if the value is right"
    )


def test_the_yaml_replaces_a_declared_range(judged):
    limits = FeatureChecks(ranges={"likes": Range(min=1, max=9)})
    (finding,) = failures(judged(CALM, limits=limits))
    assert (finding.statistic, finding.expected, finding.seen) == ("min", ">= 1", "0")


@pytest.mark.parametrize(("nulls", "expected"), [(5, [("warn", "<= 0")]), (20, [("block", "<= 0.01")])])
def test_nulls_warn_and_then_block(judged, nulls, expected):
    age = np.array(CALM["age"])
    age[:: 1000 // nulls] = np.nan
    findings = failures(judged(CALM | {"age": age}))
    assert [(f.severity, f.expected) for f in findings if f.statistic == "null_share"] == expected


def test_a_feature_that_allows_nulls_may_have_them(judged):
    age = np.array(CALM["age"])
    age[::50] = np.nan
    rules = [*RULES[:2], FeatureRule("user", "age", min=0, null_share=0.05)]
    assert not [f for f in failures(judged(CALM | {"age": age}, rules)) if f.statistic == "null_share"]


def test_drift_blocks_once_and_says_what_moved(judged):
    findings = failures(judged(CALM | {"likes": np.zeros(1000)}))
    assert [(f.feature, f.statistic, f.severity, f.expected) for f in findings] == [
        ("likes", "psi", "block", "<= 0.25")
    ]
    assert "([0, 1): 14.3% -> 100.0%), expected <= 0.25; see `moved` in the drift table" in findings[0].message


def test_what_is_missing_empty_or_infinite_blocks(judged):
    columns = {"likes": CALM["likes"], "age": np.append(CALM["age"][1:], np.inf), "new": CALM["age"]}
    found = {(f.feature, f.statistic): f for f in failures(judged(columns))}
    assert found["share", "rows"].severity == "block"
    assert (
        "share on 2018-02-08: rows is 0, expected >= 1; see whether the feature table" in found["share", "rows"].message
    )
    assert found["age", "max"].expected == "a finite number"
    assert found["new", "rows_reference"].severity == "warn"


def test_rounding_of_float32_is_not_a_finding(judged):
    assert failures(judged(CALM | {"share": np.linspace(0, np.nextafter(np.float32(1), np.float32(2)), 1000)})) == []


def test_without_a_reference_only_the_rules_apply(tmp_path):
    path = tmp_path / "now.parquet"
    pq.write_table(pa.table({"likes": np.array([0, 9], np.float32)}), path)
    statistics = feature_statistics({"user": [path]}, dt=DAY)
    findings = judge([*value_rules(statistics, RULES[:1], FeatureChecks())], DAY)
    assert [f.statistic for f in failures(findings)] == ["max"]
    assert summary(findings).startswith(
        "1 blocking and 0 warning of 5 rules: user feature likes on 2018-02-08: max is 9"
    )


def test_a_process_without_a_main_module_survives_the_import():
    """As Dagster's runs are: Spark Connect, if Great Expectations reached for it, would end them with exit code 0."""
    code = """
from ok_ml.config.gx import _without_spark_connect
with _without_spark_connect():
    import great_expectations
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120)
    assert done.stdout == "alive\n", done.stderr


def test_jensen_shannon_judges_beside_psi_where_the_yaml_says_so(judged):
    limits = FeatureChecks(drift=DriftConfig(psi_warn=50, psi_block=50, js_warn=0.02, js_block=0.5))
    (finding,) = failures(judged(CALM | {"likes": np.arange(1000) % 6}, limits=limits))
    assert (finding.statistic, finding.severity, finding.expected) == ("js", "warn", "<= 0.02")
    (finding,) = failures(judged(CALM | {"likes": np.zeros(1000)}, limits=limits))
    assert (finding.statistic, finding.severity, finding.expected) == ("js", "block", "<= 0.5")
    assert failures(judged(CALM, limits=limits)) == []


@pytest.mark.parametrize(("bounds", "expected"), [({"max": 2.0}, ["q50"]), ({"min": 3.0, "max": 4.0}, [])])
def test_quantiles_stay_within_declared_bounds(judged, bounds, expected):
    ranges = {"likes": Range(quantiles={"q50": Bounds(**bounds)}, quantile_severity="block")}
    found = failures(judged(CALM, limits=FeatureChecks(ranges=ranges)))
    assert [(f.statistic, f.severity) for f in found] == [(name, "block") for name in expected]


def test_a_range_may_warn_and_nulls_have_their_own_block_limit(judged):
    likes = np.array(CALM["likes"], float)
    likes[0], likes[1:31] = 8, np.nan
    ranges = {"likes": Range(min=0, max=6, severity="warn", null_share=0.01, null_share_block=0.05)}
    found = failures(judged(CALM | {"likes": likes}, limits=FeatureChecks(ranges=ranges)))
    assert [(f.statistic, f.severity) for f in found] == [("max", "warn"), ("null_share", "warn")]
