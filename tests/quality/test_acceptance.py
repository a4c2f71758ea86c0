"""What was accepted of a verdict, and what is open again: one law for every kind of verdict."""

from dataclasses import replace

import pyarrow as pa
import pytest

from ok_ml import columns as c
from ok_ml.lake import WHOLE, Lake
from ok_ml.quality.judges.acceptance import acceptance_of
from ok_ml.quality.judges.findings import Finding
from ok_ml.quality.judges.verdicts import (
    DECLARED_VERDICT,
    EVENT_VERDICT,
    FEATURE_VERDICT,
    LISTS_VERDICT,
    MODEL_VERDICT,
    accept,
    commit,
    read_verdict,
    verdict_of,
    verdict_on,
    version_of,
    whole_verdict,
)

DT, SCOPE = "2026-02-03", "toy"
FEW = Finding.told("rows", "block", "rows is 20, expected 100", DT)
ODD = Finding("", "users", "mean", "1", "2", "warn", passed=False, dt=DT, score=-7.5)
FINE = Finding("age", "users", "mean", "1", "1", "block", passed=True, dt=DT)
TABLES = {
    DECLARED_VERDICT: c.EVENTS, EVENT_VERDICT: c.EVENT_STATISTICS, FEATURE_VERDICT: c.FEATURE_STATISTICS,
    LISTS_VERDICT: c.PREDICTIONS, MODEL_VERDICT: c.MODEL, "online_metrics_verdict": c.ONLINE_METRICS,
}  # fmt: skip


@pytest.fixture(params=list(TABLES))
def table(request):
    return request.param


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path)


def data(lake, table, value):
    """The data that a verdict judges; features are told apart by what their statistics were counted on."""
    judged = TABLES[table]
    inputs = {"features": str(value), "bins": "of 1"} if judged == c.FEATURE_STATISTICS else {}
    partition = WHOLE if judged == c.MODEL else DT
    lake.write(SCOPE, judged, partition, pa.table({"value": [value]}), sort_by=["value"], inputs=inputs)


def judge(lake, table, *found):
    return commit(lake, verdict_of(lake, SCOPE, table, DT, found))


def still_open(verdict):
    return [replace(one, accepted="") for one in verdict.failed]


def test_an_acceptance_holds_for_what_was_looked_at_alone(lake, table):
    data(lake, table, 1)
    judge(lake, table, FEW, FINE)
    read = verdict_on(lake, SCOPE, table, DT)
    assert still_open(read) == [FEW]
    assert read.blocks
    told = accept(lake, read, who="alice", reason="a holiday")
    read = verdict_on(lake, SCOPE, table, DT)
    assert (str(told), still_open(read), read.blocks) == ("accepted by alice: a holiday", [], False)
    assert read.accepted == str(told)
    assert acceptance_of(lake, SCOPE, table, DT, read.version) == told

    both = judge(lake, table, FEW, ODD)
    assert still_open(both) == [ODD], "another finding on the same data"
    accept(lake, both, who="bob", reason="that too")
    assert still_open(judge(lake, table, FEW, ODD)) == []

    data(lake, table, 2)
    assert verdict_on(lake, SCOPE, table, DT) is None, "nobody has judged these"
    assert still_open(judge(lake, table, FEW)) == [FEW]


def test_another_reference_for_the_same_features_is_not_other_data(lake):
    data(lake, FEATURE_VERDICT, 1)
    accept(lake, judge(lake, FEATURE_VERDICT, FEW), who="alice", reason="a holiday")
    rows = pa.table({"value": [9]})
    inputs = {"features": "1", "bins": "of 2"}
    lake.write(SCOPE, c.FEATURE_STATISTICS, DT, rows, sort_by=["value"], inputs=inputs)
    assert still_open(judge(lake, FEATURE_VERDICT, FEW)) == []


def test_a_verdict_comes_back_whole_and_what_does_not_hold_without_its_rows(lake, table):
    data(lake, table, 1)
    judged = judge(lake, table, FEW, ODD, FINE)
    manifest = lake.find(SCOPE, table, DT)
    assert set(whole_verdict(lake, manifest).findings) == {FEW, ODD, FINE}
    assert read_verdict(lake, manifest).findings == (FEW, ODD)
    assert manifest.details["blocks"] is True
    assert manifest.details["headline"] == judged.headline
    assert FEW.message in judged.headline


# -- states of before --------------------------------------------------------------------------------------------------


def test_a_verdict_of_an_earlier_version_blocks_and_may_be_accepted(lake, table):
    data(lake, table, 1)
    details = {"blocks": True, "headline": "few rows"}
    lake.write(SCOPE, table, DT, pa.table({"message": ["few rows"]}), sort_by=["message"], details=details)
    judged = read_verdict(lake, lake.find(SCOPE, table, DT))
    assert judged.blocks
    assert whole_verdict(lake, lake.find(SCOPE, table, DT)) == judged, "its rows are no findings"
    accept(lake, judged, who="alice", reason="a holiday")
    assert not read_verdict(lake, lake.find(SCOPE, table, DT)).failed
    assert still_open(judge(lake, table, FEW)) == [], "all that there was to say then"


def test_findings_that_were_kept_as_key_severity_and_message_are_the_same_findings(lake, table):
    data(lake, table, 1)
    found = [["rows", "block", "rows is 20, expected 100"], ["log_mean of duration_ms", "warn", "odd"]]
    details = {"blocks": True, "headline": "few", "judged": version_of(lake, SCOPE, table, DT), "found": found}
    lake.write(SCOPE, table, DT, pa.table({"message": ["few rows"]}), sort_by=["message"], details=details)
    read = verdict_on(lake, SCOPE, table, DT)
    assert [(one.key, one.severity, one.message) for one in read.failed] == [tuple(one) for one in found]
    accept(lake, read, who="alice", reason="a holiday")
    band = Finding("duration_ms", "", "log_mean", "1", "2", "block", passed=False, dt=DT)
    assert still_open(judge(lake, table, FEW, band)) == [], "a number by day is called as its series"
