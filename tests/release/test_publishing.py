"""Whether what is served is what was predicted: table, topic and storage side by side."""

import pyarrow as pa
import pytest

from ok_ml import columns as c
from ok_ml.config.loader import load_project
from ok_ml.lake import WHOLE
from ok_ml.release.publishing import judge_parity
from ok_ml.stages.opening import open_pipeline
from tests.small_project import make_project

NAME, DT = "toy_sources", "2026-02-03"


@pytest.fixture
def pipeline(tmp_path, monkeypatch):
    for name in ("OK_ML_PROJECT", "OK_ML_SIZE", "OK_ML_ENV", "OK_ML_STATE"):
        monkeypatch.delenv(name, raising=False)
    return open_pipeline(load_project(make_project(tmp_path)), NAME)


def published(pipeline, *, table=3, topic=(3, "ab"), storage=(3, "ab")):
    rows = pa.table({c.USER_ID: range(table)})
    pipeline.lake.write(NAME, c.PREDICTIONS, DT, rows, sort_by=[c.USER_ID])
    for name, (count, checksum) in {c.PUBLICATION: topic, c.LIVE_PREDICTIONS: storage}.items():
        with pipeline.lake.staged(NAME, name, WHOLE) as folder:
            details = {"checksum": checksum, "data_dt": DT}
            pipeline.lake.commit(folder, rows=count, data_version=checksum, details=details)
    return judge_parity(pipeline)


def test_the_same_rows_everywhere_hold(pipeline):
    verdict = published(pipeline)
    assert verdict.failed == []
    assert verdict.headline == "table 3, topic 3, storage 3 predictions; checksums equal"
    assert verdict.numbers["storage_checksum"] == "ab"


@pytest.mark.parametrize(
    "different", [{"table": 4}, {"topic": (2, "ab")}, {"storage": (2, "ab")}, {"storage": (3, "cd")}]
)
def test_any_difference_is_a_finding_that_holds_nothing_back(pipeline, different):
    verdict = published(pipeline, **different)
    (finding,) = verdict.failed
    assert (finding.severity, verdict.blocks) == ("warn", False)
    assert verdict.headline.endswith("checksums or counts differ; publish again: a new generation replaces the whole")
