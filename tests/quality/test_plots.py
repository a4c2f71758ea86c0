"""Plots are made, also of the least that can be drawn."""

import struct
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from ok_ml.quality.judges.feature_series import FeatureSeries
from ok_ml.quality.judges.findings import Finding
from ok_ml.quality.judges.rules import Rule
from ok_ml.quality.plots import evaluation_plots as plots
from ok_ml.quality.plots import finding_plots
from ok_ml.quality.ranking.bootstrap import Interval
from ok_ml.quality.ranking.ranking_evaluation import EVERYBODY, MODEL, POPULARITY, Score, Stratum, evaluate
from ok_ml.quality.ranking.ranking_metrics import Relevance
from ok_ml.quality.statistics import statistics_columns as q


def statistics(counts, edges):
    return {
        q.ENTITY: "user",
        q.FEATURE: "likes",
        "dt": "2018-02-08",
        q.ROWS: sum(counts),
        q.NULL_SHARE: 0.0,
        q.MEAN: 1.0 if sum(counts) else None,
        q.BIN_EDGES: edges,
        q.BIN_COUNTS: counts,
    }


def drift(values):
    rows = [
        {q.ENTITY: "user", q.FEATURE: f"f{i}", q.PSI: value, q.VERDICT: "block" if value > 0.25 else "ok"}
        for i, value in enumerate(values)
    ]
    return pa.Table.from_pylist(rows, schema=q.drift_schema())


@pytest.fixture(scope="module")
def report():
    truth = Relevance.from_rows(np.array([0, 1]), np.array([1, 2]), np.array([1, 2]), 2)
    lists = {MODEL: np.array([[1], [2]]), POPULARITY: np.array([[1], [1]])}
    strata = {"new": Stratum(truth, lists)}
    return evaluate(lists, truth, ["a", None], (1,), seed=1, bootstrap=100, catalogue_size=2, strata=strata)


def with_estimate(report):
    return replace(report, scores=(*report.scores, Score(MODEL, "reaction_rate", EVERYBODY, Interval(0.4, 0.3, 0.5))))


CASES = {
    "learning curve": lambda report, path: plots.learning_curve({"validation": [0.1, 0.2]}, metric="ndcg@10", best_iteration=2, path=path),
    "evaluation": lambda report, path: plots.evaluation_bars(report, ["ndcg@1", "coverage@1"], path=path),
    "evaluation of a stratum": lambda report, path: plots.evaluation_bars(report, ["ndcg@1"], stratum="new", path=path),
    "evaluation of what some models lack": lambda report, path: plots.evaluation_bars(with_estimate(report), ["ndcg@1", "reaction_rate"], path=path),
    "segments": lambda report, path: plots.segment_chart(report, "ndcg@1", path=path),
    "importance": lambda report, path: plots.feature_importance(["a", "b"], [3, 1], path=path),
    "importance of nothing": lambda report, path: plots.feature_importance(["a"], [0], path=path),
    "psi": lambda report, path: plots.psi_chart(drift([0.01, 4.0]), psi_warn=0.1, psi_block=0.25, path=path),
    "psi of nothing": lambda report, path: plots.psi_chart(drift([]), psi_warn=0.1, psi_block=0.25, path=path),
    "rows": lambda report, path: plots.over_time(["2018-02-01", "2018-02-02"], {"events": [10, None]}, title="Rows", path=path),
    "no day yet": lambda report, path: plots.over_time([], {"events": []}, title="Rows", path=path),
    "reliability": lambda report, path: plots.reliability_chart({"first 10": np.array([[0.1, 0.3], [0.0, 0.4], [0.05, 0.1]]), "of one bin": np.array([[0.1], [0.0], [0.0]])}, told="2 users", path=path),
    "scores": lambda report, path: plots.score_distribution({"today": [0.1, 0.5], "yesterday": []}, path=path),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("error")
def test_a_plot_is_a_png_and_is_written(name, report, tmp_path):
    image = CASES[name](report, tmp_path / "plots" / "plot.png")
    assert (tmp_path / "plots" / "plot.png").read_bytes() == image
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", image[16:24])
    assert 400 < width < 1600
    assert 150 < height < 1600
    assert len(image) > 5000


def test_a_stratum_that_was_not_judged_gets_no_panel(report):
    bars = plots.evaluation_bars
    assert bars(report, ["ndcg@1"], stratum="old") == bars(report, ["ndcg@1"])
    assert bars(report, ["ndcg@1"], stratum="new") != bars(report, ["ndcg@1"])


def test_equal_numbers_make_equal_bytes(report):
    assert CASES["segments"](report, None) == CASES["segments"](report, None)


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, ok_ml.quality.plots.evaluation_plots, ok_ml.quality.judges.value_rules, ok_ml.quality.statistics.statistics_rows, ok_ml.release.gate.promotion_record,"
        " ok_ml.release.gate.lineage; print([n for n in ('matplotlib', 'pandas', 'scipy', 'great_expectations', 'dagster', 'pyarrow')"
        " if n in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


# -- features and findings by day --------------------------------------------------------------------------------------


def feature(state="ok", finding=None, days=30):
    dts = tuple(f"2018-01-{day:02d}" for day in range(1, days + 1))
    rng = np.random.default_rng(1)
    numbers = {name: rng.normal(5.0, 0.1, days) for name in (q.MEAN, q.STD, q.MIN, q.MAX, *q.QUANTILES)}
    numbers |= {q.NULL_SHARE: np.zeros(days), q.PSI: np.linspace(0, 0.4, days), q.JS: np.full(days, np.nan)}
    row = statistics([0, 3, 1, 0, 0], [0, 1, 2]) | {"dt": dts[-1]}
    return FeatureSeries("user", "likes", dts, numbers, (4,) * days, row, row, state, finding)


def finding(statistic):
    return Finding(
        "likes",
        "user",
        statistic,
        "<= 0.25",
        "0.4",
        "block",
        False,
        "2018-01-30",
        "user feature likes",
        since="2018-01-20",
    )


@pytest.mark.parametrize("statistic", [q.PSI, q.ROWS, q.MAX, "repeated_keys"])
@pytest.mark.parametrize("days", [1, 30])
@pytest.mark.filterwarnings("error")
def test_the_picture_of_a_finding(statistic, days):
    rule = Rule("user", "likes", statistic, 0.4, "block", high=0.25)
    image = finding_plots.feature_picture(feature("block", finding(statistic), days), finding(statistic), rule)
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(image) > 20_000


@pytest.mark.parametrize("count", [0, 1, 7])
@pytest.mark.filterwarnings("error")
def test_all_features_in_one_picture(count):
    image = finding_plots.overview([feature("warn")] * count, title="features")
    width, height = struct.unpack(">II", image[16:24])
    assert width == 1320
    assert abs(height - 110 * (max(-(-count // 6), 1) * 1.25 + 0.75)) <= 1


@pytest.mark.filterwarnings("error")
def test_the_picture_of_a_number_by_day_counts_the_words_that_are_not_allowed():
    rules = {"2018-01-01": None, "2018-01-02": Rule("events", "kind", "categories", ("a", "z"), "warn", allowed=("a",))}
    assert finding_plots.number_by_day(finding("categories"), rules)[:4] == b"\x89PNG"
    numbers = {dt: Rule("events", "", "rows", 10.0, "warn", low=5.0) for dt in rules}
    assert finding_plots.number_by_day(finding("rows"), numbers)[:4] == b"\x89PNG"
