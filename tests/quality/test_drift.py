"""Drift: hand-worked numbers, a planted shift that is found and a quiet sample that is not."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ok_ml.config.models import DriftConfig
from ok_ml.errors import DataError
from ok_ml.quality.judges.drift import Jumps, drift_rules, drift_table, jump_rules, without_jump
from ok_ml.quality.judges.findings import Finding
from ok_ml.quality.statistics import statistics_columns as q
from ok_ml.quality.statistics.bins import FrozenBins
from ok_ml.quality.statistics.divergence import jensen_shannon, psi, psi_noise
from ok_ml.quality.statistics.statistics_rows import feature_statistics


def test_psi_by_hand():
    # smoothed shares 30.5/101 and 70.5/101 against 1/2 and 1/2: 0.19802 * (ln 1.39604 - ln 0.60396)
    assert psi([30, 70], [50, 50]) == pytest.approx(0.165919, abs=1e-6)
    assert psi([30, 70], [30, 70]) == 0.0
    # an empty bin: shares 0.5/11 and 10.5/11 against 1/2: 0.454545 * ln 21
    assert psi([0, 10], [5, 5]) == pytest.approx(0.4545454545 * math.log(21), rel=1e-9)
    assert psi([30, 0, 70], [50, 0, 50]) == psi([30, 70], [50, 50])
    assert psi([30, 70], [50, 50]) == psi([50, 50], [30, 70])
    assert math.isnan(psi([0, 0], [1, 2]))


def test_jensen_shannon_by_hand():
    # H(3/4, 1/4) - (H(1, 0) + H(1/2, 1/2)) / 2 = 0.811278 - 0.5
    assert jensen_shannon([8, 0], [3, 3]) == pytest.approx(0.311278, abs=1e-6)
    assert jensen_shannon([4, 0], [0, 9]) == 1.0
    assert jensen_shannon([2, 6], [1, 3]) == 0.0


def test_noise_by_hand_and_by_simulation():
    # 3 bins: (2 + 3 * sqrt(4)) * (1/100 + 1/400)
    assert psi_noise([20, 30, 50], [100, 100, 200]) == pytest.approx(8 * 0.0125)
    generator = np.random.default_rng(6)
    shares = np.full(20, 1 / 20)
    drawn = [psi(generator.multinomial(400, shares), generator.multinomial(3000, shares)) for _ in range(2000)]
    size = 1 / 400 + 1 / 3000
    assert np.mean(drawn) == pytest.approx(19 * size, rel=0.05)
    assert np.std(drawn) == pytest.approx(math.sqrt(38) * size, rel=0.15)


def test_histograms_of_different_length_are_refused():
    with pytest.raises(DataError, match="histograms of 2 and 3 bins"):
        psi([1, 2], [1, 2, 3])


def table(folder, name, columns, dt, bins=None):
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table({key: np.asarray(values, np.float32) for key, values in columns.items()}), path)
    return feature_statistics({"user": [path]}, dt=dt, bins=bins)


def users(generator, n, shift=0.0):
    return {f"f{i:02d}": generator.gamma(2, size=n) if i % 2 else generator.poisson(2, n) for i in range(40)} | {
        "planted": generator.normal(shift, 1, n)
    }


@pytest.fixture
def reference(tmp_path):
    return table(tmp_path, "reference", users(np.random.default_rng(1), 6000), "2018-02-07")


@pytest.mark.parametrize("n", [150, 300, 6000])
def test_another_sample_of_the_same_users_does_not_drift(tmp_path, reference, n):
    bins = FrozenBins.from_statistics(reference)
    drift = drift_table(table(tmp_path, "now", users(np.random.default_rng(2), n), "2018-02-08", bins), reference, bins)
    assert set(drift[q.VERDICT].to_pylist()) == {"ok"}
    assert drift.schema == q.drift_schema()


@pytest.mark.parametrize(("shift", "verdict"), [(0.0, "ok"), (0.4, "warn"), (0.8, "block")])
def test_a_planted_shift_is_found_and_nothing_else(tmp_path, reference, shift, verdict):
    bins = FrozenBins.from_statistics(reference)
    now = table(tmp_path, "now", users(np.random.default_rng(3), 6000, shift), "2018-02-08", bins)
    rows = {row[q.FEATURE]: row for row in drift_table(now, reference, bins, DriftConfig()).to_pylist()}
    assert rows.pop("planted")[q.VERDICT] == verdict
    assert {row[q.VERDICT] for row in rows.values()} == {"ok"}


def test_what_moved_is_said_and_the_worst_comes_first(tmp_path):
    reference = table(tmp_path, "a", {"calm": [0, 1] * 500, "flag": [0] * 900 + [1] * 100}, "2018-02-07")
    bins = FrozenBins.from_statistics(reference)
    now = table(
        tmp_path, "b", {"calm": [0, 1] * 500, "flag": [0] * 600 + [1] * 200 + [np.nan] * 200}, "2018-02-08", bins
    )
    first, second = drift_table(now, reference, bins).to_pylist()
    assert (first[q.FEATURE], first[q.VERDICT], first[q.MOVED]) == ("flag", "block", "[0, 1): 90.0% -> 60.0%")
    assert (first[q.MEAN_REFERENCE], first[q.MEAN_NOW], first[q.NULL_SHARE]) == (0.1, 0.25, 0.2)
    assert (second[q.FEATURE], second[q.PSI], second[q.JS]) == ("calm", 0.0, 0.0)


def test_a_feature_that_came_or_went_is_not_silent(tmp_path):
    reference = table(tmp_path, "a", {"kept": [1, 2, 3], "gone": [1, 2, 3]}, "2018-02-07")
    bins = FrozenBins.from_statistics(reference)
    now = table(tmp_path, "b", {"kept": [1, 2, 3], "new": [1, 2, 3]}, "2018-02-08", bins)
    verdicts = {row[q.FEATURE]: (row[q.VERDICT], row[q.MOVED]) for row in drift_table(now, reference, bins).to_pylist()}
    assert verdicts["gone"] == ("block", "missing today")
    assert verdicts["new"] == ("warn", "not in the reference")
    assert verdicts["kept"][0] == "ok"


def test_other_bins_or_two_days_in_one_table_are_refused(tmp_path):
    reference = table(tmp_path, "a", {"f": [1, 2, 3]}, "2018-02-07")
    bins = FrozenBins.from_statistics(reference)
    with pytest.raises(DataError, match="user/f was counted on 3 edges that are not the 4 frozen ones"):
        drift_table(table(tmp_path, "b", {"f": [1, 2]}, "2018-02-08"), reference, bins)
    with pytest.raises(DataError, match="2 rows for 1 features"):
        drift_table(pa.concat_tables([reference, reference]), reference, bins)


# -- limits, and what jumps ------------------------------------------------------------------------------------------

LIMITS = DriftConfig(psi_warn=0.1, psi_block=0.25)
LIKES = ("user", "likes")


def drifted(statistic="psi", severity="block", passed=False):
    return Finding(
        "likes", "user", statistic, "<= 0.25", "0.4", severity, passed=passed, dt="2018-02-08", advice="look"
    )


def test_the_table_and_the_rules_hold_one_feature_against_the_same_limits(tmp_path, reference):
    bins = FrozenBins.from_statistics(reference)
    now = table(tmp_path, "now", users(np.random.default_rng(3), 6000, 0.8), "2018-02-08", bins)
    config = DriftConfig(psi_warn=0.1, psi_block=0.25, js_warn=0.01, js_block=0.9)
    drift = drift_table(now, reference, bins, config)
    broken = {}
    for rule in drift_rules(drift, config):
        if not rule.holds:
            broken.setdefault(rule.feature, set()).add((rule.statistic, rule.severity))
    assert broken == {"planted": {("psi", "block"), ("psi", "warn"), ("js", "warn")}}
    verdicts = {row[q.FEATURE]: row[q.VERDICT] for row in drift.to_pylist()}
    assert {name for name, verdict in verdicts.items() if verdict != "ok"} == {"planted"}
    assert [one.statistic for one in drift_rules(drift, DriftConfig()) if one.feature == "planted"] == [
        "rows_reference", "psi", "psi",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("jumps", "severity", "told"),
    [
        (
            Jumps({LIKES: 0.4}, ("Monday", "Tuesday")),
            "block",
            "it jumped (0.400 against Monday and Tuesday) and the log did not",
        ),
        (
            Jumps({LIKES: 0.2}, ("Monday", "Tuesday")),
            "warn",
            "it blocks nothing: it is a drift, no jump (0.200 against",
        ),
        (Jumps({}, ("Monday", "Tuesday")), "warn", "no jump (0.000 against Monday and Tuesday)"),
        (Jumps({LIKES: 0.4}, (), "the log moved too"), "warn", "it blocks nothing: the log moved too"),
    ],
)
def test_a_drift_blocks_only_as_a_jump_that_the_log_does_not_explain(jumps, severity, told):
    (finding,) = without_jump([drifted()], lambda: jumps, LIMITS)
    assert finding.severity == severity
    assert finding.advice.startswith("look; ")
    assert told in finding.advice


def test_jumps_are_asked_for_only_where_something_that_blocks_has_drifted():
    def never():
        raise AssertionError("nothing drifted")

    others = [drifted("max"), drifted(severity="warn"), drifted(passed=True)]
    assert without_jump(others, never, LIMITS) == others


def test_growing_counts_may_not_jump_unless_something_explains_it():
    (rule,) = jump_rules([LIKES, ("user", "unknown")], Jumps({LIKES: 0.4}, ("Monday", "Tuesday")), LIMITS)
    assert (rule.statistic, rule.severity, rule.high, rule.holds) == ("jump", "block", 0.25, False)
    assert "checks.drift.not_judged: [likes]" in rule.advice
    assert [*jump_rules([LIKES], Jumps({LIKES: 0.4}, silent="the log moved too"), LIMITS)] == []
