"""Lists against the declared limits, generation after generation, on a lake without any run."""

import os

import numpy as np
import pyarrow as pa
import pytest

from ok_ml import columns as c
from ok_ml.config.loader import load_project
from ok_ml.errors import GateRefused
from ok_ml.hashing import part_of
from ok_ml.monitoring.accepting import accept_day
from ok_ml.monitoring.judges.prediction_judge import LIMITS as OF_LIMITS
from ok_ml.monitoring.judges.prediction_judge import judge_predictions, require_predictions
from ok_ml.monitoring.judges.series_watch import judged_numbers
from ok_ml.monitoring.series.live_history import Served, record_live
from ok_ml.quality.statistics.number_series import Name, read_days
from ok_ml.ranked_lists.list_plots import plot_predictions
from ok_ml.ranked_lists.list_statistics import build_prediction_statistics
from ok_ml.stages.opening import open_pipeline
from tests.small_project import edit, make_project

MANY = 400
USERS, SOURCES, K = np.arange(1, MANY + 1, dtype=np.int64), np.arange(1_000, 1_060, dtype=np.int64), 12
NAME, DATA, YAML = "toy_sources", "toy", "configs/experiments/toy_sources.yml"
LIMITS = """\
checks:
  predictions: {least_coverage: 0.5, most_top_share: 0.08, least_overlap: 0.2, score_psi: 0.5, least_length: 5}
release: {cycle: manual}"""


@pytest.fixture
def pipeline(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("OK_ML_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    root = make_project(tmp_path / "project")
    edit(root, YAML, "release: {cycle: manual}", LIMITS)
    return open_pipeline(load_project(root), NAME)


def serve(pipeline, number, lists, scores, *, model=1, live=True, subscribed=()):
    """Predictions of one day with its snapshots, their statistics, and their going live."""
    dt, lake, parts = f"2026-01-{number:02d}", pipeline.lake, pipeline.dataset.parts
    part = part_of(USERS, parts)
    lake.write(DATA, c.USERS, dt, pa.table({c.USER_ID: USERS, c.PART: part}), sort_by=[c.USER_ID], by_part=True)
    lake.write(DATA, c.SOURCES, dt, pa.table({c.SOURCE_ID: SOURCES}), sort_by=[c.SOURCE_ID])
    owners, held = (np.array(side, np.int64) for side in (zip(*subscribed, strict=True) if subscribed else ((), ())))
    rows = pa.table({c.USER_ID: owners, c.SOURCE_ID: held, c.PART: part_of(owners, parts)})
    lake.write(DATA, c.SUBSCRIPTIONS, dt, rows, sort_by=[c.USER_ID, c.SOURCE_ID], by_part=True)
    n = len(lists)
    table = pa.table(
        {
            c.USER_ID: USERS[:n],
            c.PART: part[:n],
            c.SOURCE_IDS: pa.array(lists.tolist(), pa.list_(pa.int64())),
            c.SCORES: pa.array(np.sort(scores, axis=1)[:, ::-1].tolist(), pa.list_(pa.float32())),
            c.REASONS: pa.array(np.zeros_like(lists).tolist(), pa.list_(pa.int8())),
            c.IS_FALLBACK: np.zeros(n, bool),
        }
    )
    made = lake.write(
        NAME, c.PREDICTIONS, dt, table, sort_by=[c.USER_ID], by_part=True, details={"model_version": model}
    )
    build_prediction_statistics(pipeline, progress=lambda _line: None)
    if live:
        record_live(lake, NAME, Served(number, f"g{number}", dt, model, made.version, dt))
    return dt


def random_lists(seed, users=MANY):
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(SOURCES)[:K] for _ in range(users)])


def scores(seed, shift=0.0, users=MANY):
    return np.random.default_rng(seed).normal(shift, 1.0, (users, K)).astype(np.float32)


def value(pipeline, dt, metric):
    return read_days(pipeline.lake, NAME, c.PREDICTION_STATISTICS, [dt])[dt][Name(metric)].value


def broken(pipeline):
    return {one.key.removeprefix(f"{OF_LIMITS}: ") for one in limits(pipeline) if one.severity == "block"}


def limits(pipeline):
    return judge_predictions(pipeline).part(kind=OF_LIMITS).failed


def test_good_lists_keep_every_limit_and_stay_current_after_going_live(pipeline):
    same = random_lists(1)
    first = serve(pipeline, 5, same, scores(1))
    assert (value(pipeline, first, "overlap@10"), value(pipeline, first, "score_psi")) == (None, None)
    second = serve(pipeline, 6, same, scores(2))
    assert value(pipeline, second, "overlap@10") == 1.0
    assert value(pipeline, second, "score_psi") < 0.02
    assert broken(pipeline) == set()
    require_predictions(pipeline)
    assert pipeline.is_current(c.PREDICTION_STATISTICS, second)
    assert set(plot_predictions(pipeline)) == {"lists", "scores_by_day"}


@pytest.mark.parametrize(
    ("fault", "metrics"),
    [
        ("other lists", {"overlap@10"}), ("one list for all", {"coverage@10", "top_share", "overlap@10"}),
        ("shifted scores", {"score_psi"}), ("short lists", {"list_length_least"}), ("half of the users", {"users_served_share"}),
        ("subscribed", {"subscribed_pairs"}),
    ],
)  # fmt: skip
def test_each_fault_breaks_its_own_limit(pipeline, fault, metrics):
    good, few = random_lists(1), len(USERS) // 2
    serve(pipeline, 5, good, scores(1))
    faults = {
        "other lists": {"lists": random_lists(9)},
        "one list for all": {"lists": np.tile(SOURCES[:K], (len(USERS), 1))},
        "shifted scores": {"scores": scores(2, shift=1.0)},
        "short lists": {"lists": good[:, :4], "scores": scores(2)[:, :4]},
        "half of the users": {"lists": good[:few], "scores": scores(2, users=few)},
        "subscribed": {"subscribed": [(int(USERS[0]), int(good[0, 0]))]},
    }
    serve(pipeline, 6, **{"lists": good, "scores": scores(2), **faults[fault]}, live=False)
    assert metrics <= broken(pipeline)
    assert broken(pipeline) <= metrics | {"overlap@10"}  # short lists are also unlike those before
    with pytest.raises(GateRefused, match=r"expected at (least|most)"):
        require_predictions(pipeline)


def test_another_model_has_scores_of_its_own(pipeline):
    serve(pipeline, 5, random_lists(1), scores(1))
    dt = serve(pipeline, 6, random_lists(1), scores(2, shift=3.0), model=2)
    assert value(pipeline, dt, "score_psi") is None
    assert broken(pipeline) == set()


def test_another_model_may_have_other_lists(pipeline):
    serve(pipeline, 5, random_lists(1), scores(1))
    dt = serve(pipeline, 6, random_lists(9), scores(2), model=2)
    numbers = read_days(pipeline.lake, NAME, c.PREDICTION_STATISTICS, [dt])[dt]
    assert Name("overlap@10") not in numbers
    assert numbers[Name("new_model_overlap@10")].value < 0.2
    assert Name("new_model_overlap@10") not in judged_numbers(c.PREDICTION_STATISTICS, numbers)
    assert broken(pipeline) == set()
    serve(pipeline, 7, random_lists(1), scores(3), model=3, live=False)
    (told,) = limits(pipeline)
    assert (told.key, told.severity) == ("limits: new_model_overlap@10", "warn")
    assert told.text.endswith("It blocks nothing: the lists that are served now are those of another model")
    serve(pipeline, 7, random_lists(1), scores(3), model=2, live=False)
    assert broken(pipeline) == {"overlap@10"}


def test_what_was_refused_is_no_reference_and_since_says_when_it_began(pipeline):
    good = random_lists(1)
    serve(pipeline, 5, good, scores(1))
    serve(pipeline, 6, good, scores(2, shift=1.0), live=False)
    serve(pipeline, 7, good, scores(3, shift=1.0), live=False)
    (found,) = limits(pipeline)
    assert (found.key, found.since, found.severity) == ("limits: score_psi", "2026-01-06", "block")
    assert "score_psi: expected at most 0.5, seen" in judge_predictions(pipeline).headline


def test_lists_that_nobody_counted_are_not_published(pipeline):
    serve(pipeline, 5, random_lists(1), scores(1))
    pipeline.lake.write(DATA, c.SOURCES, "2026-01-05", pa.table({c.SOURCE_ID: SOURCES[1:]}), sort_by=[c.SOURCE_ID])
    with pytest.raises(GateRefused, match="no statistics of their current version"):
        require_predictions(pipeline)


def test_lists_may_be_accepted_and_other_lists_are_judged_again(pipeline, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "alice")
    serve(pipeline, 5, random_lists(1), scores(1))
    dt = serve(pipeline, 6, random_lists(9), scores(2), live=False)
    with pytest.raises(GateRefused, match=rf"what to do: +ok-ml accept {NAME} {dt} --reason TEXT"):
        require_predictions(pipeline)
    ((judged, accepted),) = accept_day(pipeline.project, NAME, dt, "the catalogue was turned over")
    assert (judged.table, accepted.who) == ("lists_verdict", "alice")
    require_predictions(pipeline)
    serve(pipeline, 6, random_lists(10), scores(2), live=False)
    with pytest.raises(GateRefused, match=r"overlap@10: expected at least 0\.2"):
        require_predictions(pipeline)
