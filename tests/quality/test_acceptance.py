"""What was accepted of a verdict, and what is open again: one law for every kind of verdict."""

import pyarrow as pa
import pytest

from ok_ml import columns as c
from ok_ml.lake import WHOLE, Lake
from ok_ml.quality.judges.acceptance import Found, Judged, accept, acceptance_of, blocks, kept, still_open, verdict_on
from ok_ml.quality.judges.verdicts import DECLARED_VERDICT, EVENT_VERDICT, FEATURE_VERDICT, LISTS_VERDICT, MODEL_VERDICT

DT, SCOPE = "2026-02-03", "toy"
FEW, ODD = Found("rows", "block", "rows is 20, expected 100"), Found("mean", "warn", "mean is 2, expected 1")
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
    judged = Judged.now(lake, SCOPE, table, DT, found)
    rows = pa.table({"message": pa.array([one.message for one in found], pa.string())})
    details = {"blocks": blocks(found), "headline": "few rows", **kept(judged)}
    lake.write(SCOPE, table, DT, rows, sort_by=["message"], details=details)
    return judged


def test_an_acceptance_holds_for_what_was_looked_at_alone(lake, table):
    data(lake, table, 1)
    judge(lake, table, FEW)
    read = verdict_on(lake, SCOPE, table, DT)
    assert still_open(lake, read) == [FEW]
    told = accept(lake, read, who="alice", reason="a holiday")
    assert (str(told), still_open(lake, read)) == ("accepted by alice: a holiday", [])
    assert acceptance_of(lake, read) == told

    both = judge(lake, table, FEW, ODD)
    assert still_open(lake, both) == [ODD], "another finding on the same data"
    accept(lake, both, who="bob", reason="that too")
    assert still_open(lake, judge(lake, table, FEW, ODD)) == []

    data(lake, table, 2)
    assert verdict_on(lake, SCOPE, table, DT) is None, "nobody has judged these"
    assert still_open(lake, judge(lake, table, FEW)) == [FEW]


def test_another_reference_for_the_same_features_is_not_other_data(lake):
    data(lake, FEATURE_VERDICT, 1)
    accept(lake, judge(lake, FEATURE_VERDICT, FEW), who="alice", reason="a holiday")
    rows = pa.table({"value": [9]})
    inputs = {"features": "1", "bins": "of 2"}
    lake.write(SCOPE, c.FEATURE_STATISTICS, DT, rows, sort_by=["value"], inputs=inputs)
    assert still_open(lake, judge(lake, FEATURE_VERDICT, FEW)) == []


def test_a_verdict_of_an_earlier_version_blocks_and_may_be_accepted(lake, table):
    data(lake, table, 1)
    details = {"blocks": True, "headline": "few rows"}
    lake.write(SCOPE, table, DT, pa.table({"message": ["few rows"]}), sort_by=["message"], details=details)
    found = lake.find(SCOPE, table, DT)
    judged = Judged.of(found)
    assert blocks(still_open(lake, judged))
    accept(lake, judged, who="alice", reason="a holiday")
    assert still_open(lake, judged) == []
    assert still_open(lake, judge(lake, table, FEW)) == [], "all that there was to say then"
