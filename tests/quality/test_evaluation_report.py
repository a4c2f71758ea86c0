"""The report: what it compares, what it leaves out, and its rows."""

import numpy as np
import orjson
import pytest

from ok_ml.errors import DataError
from ok_ml.quality.ranking.ranking_evaluation import MODEL, ORACLE, ORACLE_TASTES, POPULARITY, Stratum, evaluate
from ok_ml.quality.ranking.ranking_metrics import Relevance

USERS = 400


@pytest.fixture(scope="module")
def report():
    """Half of the users like source 0 only, the others their own source; the last hundred like nothing."""
    likes = np.where(np.arange(USERS) % 2 == 0, 0, 1000 + np.arange(USERS))
    truth = Relevance.from_rows(np.arange(300), likes[:300], np.ones(300, np.int64), USERS)
    popular = np.tile([0, 1, 2], (USERS, 1))
    model = popular.copy()
    model[1:300:4, 2] = likes[1:300:4]  # half of the odd users are understood
    lists = {MODEL: model, POPULARITY: popular, ORACLE: truth.best_lists(3)}
    segments = ["even" if user % 2 == 0 else None for user in range(USERS)]
    return evaluate(lists, truth, segments, (1, 3), seed=1, bootstrap=500, catalogue_size=1400)


def test_means_are_over_users_with_a_relevant_source(report):
    assert (report.users, report.evaluated_users) == (400, 300)
    assert report.metrics(POPULARITY)["recall@3"] == 0.5
    assert report.metrics(MODEL)["recall@3"] == 0.75
    assert report.metrics(ORACLE)["recall@3"] == report.metrics(ORACLE)["ndcg@3"] == 1.0
    assert report.metrics(POPULARITY)["coverage@3"] == 3 / 1400
    assert report.metrics(MODEL)["coverage@3"] == (3 + 75) / 1400
    found = report.interval("recall@3")
    assert found.low < 0.75 < found.high
    assert found.users == 300


def test_share_of_attainable_by_hand(report):
    assert report.share_of_attainable("recall@3") == (0.75 - 0.5) / (1 - 0.5)
    assert report.share_of_attainable("recall@1") == 0.0


def test_differences_are_paired(report):
    found = report.difference("recall@3", MODEL, POPULARITY)
    assert found.estimate == 0.25
    assert 0.19 < found.low < 0.25 < found.high < 0.31
    same = report.difference("recall@1", MODEL, POPULARITY)
    assert (same.estimate, same.low, same.high) == (0.0, 0.0, 0.0)
    assert report.difference("recall@1", POPULARITY, MODEL) is None


def test_segments(report):
    found = {s.segment: s.value for s in report.segments if (s.model, s.metric) == (MODEL, "recall@3")}
    assert (found["even"].estimate, found["even"].users) == (1.0, 150)
    assert (found["unknown"].estimate, found["unknown"].users) == (0.5, 150)


def test_rows_are_json(report):
    rows = orjson.loads(orjson.dumps(report.rows()))
    assert {row["kind"] for row in rows} == {"score", "difference", "segment", "attainable"}
    assert {tuple(row) for row in rows} == {tuple(rows[0])}
    attainable = [row for row in rows if row["kind"] == "attainable" and row["metric"] == "recall@3"]
    assert [(row["model"], row["estimate"], row["low"]) for row in attainable] == [(MODEL, 0.5, None)]


def test_a_stratum_is_judged_as_if_nothing_else_were_there():
    truth = Relevance.from_rows(np.array([0, 0, 1]), np.array([1, 2, 1]), np.ones(3, np.int64), 3)
    lists = {MODEL: np.array([[1, 2], [1, 9], [9, 1]]), POPULARITY: np.array([[9, 1], [9, 1], [9, 1]])}
    odd = Relevance.from_rows(np.array([0, 1]), np.array([1, 1]), np.ones(2, np.int64), 3)
    of_odd = {MODEL: np.array([[1, -1], [1, 9], [9, 1]]), POPULARITY: lists[POPULARITY]}
    report = evaluate(lists, truth, ks=(1,), seed=1, bootstrap=50, strata={"odd": Stratum(odd, of_odd)})
    found = {(one.model, one.metric): one.value for one in report.strata}
    assert {one.segment for one in report.strata} == {"odd"}
    assert (found[MODEL, "recall@1"].estimate, found[POPULARITY, "recall@1"].estimate) == (1.0, 0.0)
    assert found[MODEL, "recall@1"].users == 2
    ((stratum, apart), *_) = report.stratum_differences
    assert (stratum, apart.model, apart.baseline, apart.value.estimate) == ("odd", MODEL, POPULARITY, 1.0)
    kinds = {row["kind"]: row["segment"] for row in report.rows() if row["segment"] == "odd"}
    assert set(kinds) == {"stratum", "stratum_difference"}


def test_two_ceilings_are_told_apart():
    truth = Relevance.from_rows(np.array([0, 1]), np.array([1, 1]), np.ones(2, np.int64), 2)
    best, half, none = np.array([[1], [1]]), np.array([[1], [2]]), np.array([[2], [2]])
    lists = {MODEL: half, POPULARITY: none, ORACLE: best, ORACLE_TASTES: half}
    report = evaluate(lists, truth, ks=(1,), seed=1, bootstrap=50)
    shares = {
        row["baseline"]: row["estimate"]
        for row in report.rows()
        if row["kind"] == "attainable" and row["metric"] == "recall@1"
    }
    assert shares == {ORACLE: 0.5, ORACLE_TASTES: 1.0}


def test_without_an_oracle_nothing_is_said_of_what_is_attainable():
    truth = Relevance.from_rows(np.array([0]), np.array([1]), np.array([1]), 1)
    report = evaluate({MODEL: np.array([[1]]), POPULARITY: np.array([[2]])}, truth, ks=(1,), seed=1, bootstrap=100)
    assert report.share_of_attainable("recall@1") is None
    assert "coverage@1" not in report.metrics()


def test_a_metric_or_a_pair_that_is_not_there_is_an_error(report):
    with pytest.raises(DataError, match=r"no ndcg@7 of 'model' was computed; there are recall@1, ndcg@1"):
        report.interval("ndcg@7")
    truth = Relevance.from_rows(np.array([0]), np.array([1]), np.array([1]), 1)
    with pytest.raises(DataError, match="cannot compare champion: only model were evaluated"):
        evaluate({MODEL: np.array([[1]])}, truth, ks=(1,), seed=1, pairs=[(MODEL, "champion")])
