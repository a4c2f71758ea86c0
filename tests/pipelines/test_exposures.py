"""What was shown because of a list, read from a simulated log: place, probability, reward; and what the estimate makes of it."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from ok_ml import columns as c
from ok_ml.monitoring.series.live_history import Served, record_live
from ok_ml.quality.ranking.bootstrap import resample
from ok_ml.quality.ranking.policy_value import policy_value
from ok_ml.quality.statistics.number_series import Name, read_days
from ok_ml.ranked_lists import exposures as module
from ok_ml.ranked_lists.exposures import Impressions, ServedLog, served_log
from tests.pipelines.test_closed_loop import lists, lived, pipeline  # noqa: F401

GOOD = {"click", "like", "comment", "share", "subscribe"}


@pytest.fixture(scope="module")
def futures(pipeline, lists, tmp_path_factory):  # noqa: F811
    """Three days, on which a fifth of the places explored."""
    users, by_name = lists
    return lived(pipeline, users, by_name, tmp_path_factory, 3, 0.2)


def log_of(futures, name: str) -> ServedLog:
    days, pipelines = futures
    found = served_log(pipelines[name], days)
    assert isinstance(found, ServedLog), found
    return found


def test_every_exposure_is_a_place_of_the_generation_that_its_event_names(futures, lists) -> None:  # noqa: F811
    days, pipelines = futures
    mine, log = pipelines["best"], log_of(futures, "best")
    rows = mine.lake.read(mine.dataset_scope, c.EVENTS, days).to_pylist()
    named = [row for row in rows if row[c.GENERATION] is not None]
    assert {row[c.EVENT_TYPE] for row in named} == {c.IMPRESSION}
    assert len(log.exposures.rows) == len(named)
    shown = sorted(zip(log.user_ids[log.exposures.users].tolist(), log.exposures.sources.tolist(), strict=True))
    assert shown == sorted((row[c.USER_ID], row[c.SOURCE_ID]) for row in named)
    assert len(log.posts.users) == sum(row[c.EVENT_TYPE] == c.IMPRESSION for row in rows)
    assert log.posts.listed.sum() == len(named)
    assert log.posts.rewards.sum() >= 0.97 * len(
        {(row[c.USER_ID], row[c.ITEM_ID]) for row in rows if row[c.EVENT_TYPE] in GOOD}
    )


def test_places_that_explored_are_told_by_their_probability(futures) -> None:
    shown = log_of(futures, "popular").exposures.lists
    share = shown.explored.mean()
    assert 0.15 < share < 0.25
    assert set(np.round(shown.propensities[~shown.explored], 6)) == {0.8}


def test_a_reaction_belongs_to_the_last_time_that_the_post_was_shown() -> None:
    def row(user: int, item: int, kind: str, second: int, generation: str | None = None) -> dict:
        time = second * 1_000_000
        return {"user_id": user, "source_id": 9, "item_id": item, "event_type": kind, "event_time": time,
                "generation": generation}  # fmt: skip

    events = [
        row(1, 5, "impression", 10, "g1"), row(1, 5, "impression", 30), row(1, 5, "like", 31), row(1, 5, "click", 32),
        row(1, 6, "like", 40), row(1, 6, "impression", 50, "g2"), row(2, 5, "like", 33), row(2, 7, "impression", 60, "g1"),
        row(2, 7, "hide", 61),
    ]  # fmt: skip
    found = Impressions.of(pa.Table.from_pylist(events), {"like": 1, "click": 1, "hide": 0})
    told = {
        (user, code, reward)
        for user, code, reward in zip(found.users.tolist(), found.generations.tolist(), found.rewards, strict=True)
    }
    names = found.names
    assert told == {(1, names.index("g1"), 0.0), (1, -1, 1.0), (1, names.index("g2"), 0.0), (2, names.index("g1"), 0.0)}


@pytest.mark.parametrize("served", ["best", "popular", "shuffled"])
def test_lists_are_worth_the_same_whoever_was_served(futures, lists, served: str) -> None:  # noqa: F811
    """With no model at all but the mean: what was shown and what explored tell good lists from bad ones."""
    users, by_name = lists
    log = log_of(futures, served)
    mean = log.exposures.rewards.mean()
    place = np.searchsorted(users, log.user_ids)
    values = [
        policy_value(
            log.exposures, made[place], np.full(made[place].shape, mean), np.full(len(log.exposures.rows), mean)
        ).by_user
        for made in (by_name["best"], by_name["shuffled"])
    ]
    told = resample(np.stack(values, axis=1), resamples=300, seed=1).difference(0, 1)
    assert told.estimate > 0
    own = policy_value(
        log.exposures,
        by_name[served][place],
        np.full(by_name[served][place].shape, mean),
        np.full(len(log.exposures.rows), mean),
    )
    kept = log.exposures.rewards[~log.exposures.explored].mean()
    assert np.nanmean(own.by_user) == pytest.approx(kept, rel=0.15)


def test_online_metrics_tell_the_effect_of_the_list_from_what_would_have_been_shown_anyway(futures) -> None:
    days, pipelines = futures
    numbers = read_days(pipelines["best"].lake, pipelines["best"].name, c.ONLINE_METRICS, days)
    told = {
        name: [numbers[dt][Name(f"reaction_rate_{name}")] for dt in days] for name in ("listed", "explored", "unlisted")
    }
    rates = {name: sum(one.value * one.n for one in few) / sum(one.n for one in few) for name, few in told.items()}
    assert rates["listed"] > 1.3 * rates["explored"]
    log = log_of(futures, "best")
    assert sum(one.n for one in told["explored"]) == int(log.exposures.explored.sum())
    assert sum(one.n for one in told["listed"]) == int((~log.exposures.explored).sum())
    wrong = read_days(pipelines["shuffled"].lake, pipelines["shuffled"].name, c.ONLINE_METRICS, days)
    for dt in days:
        listed, unlisted = (wrong[dt][Name(f"hit_rate@10/{name}")] for name in ("listed", "unlisted"))
        assert listed.value > 1.5 * unlisted.value
        assert min(listed.n, unlisted.n) > 0


# -- what a log cannot tell ------------------------------------------------------------------------------------------


def test_a_log_without_generations_says_so(futures) -> None:
    days, pipelines = futures
    mine = pipelines["best"]
    events = mine.dataset.events.model_copy(
        update={"columns": {name: raw for name, raw in mine.dataset.events.columns.items() if name != c.GENERATION}}
    )
    project = mine.project.model_copy(
        update={
            "datasets": {
                **mine.project.datasets,
                mine.dataset.dataset: mine.dataset.model_copy(update={"events": events}),
            }
        }
    )
    assert "events.columns.generation" in served_log(replace(mine, project=project), days)


def test_too_few_that_explored_are_too_few(futures, monkeypatch) -> None:
    days, pipelines = futures
    monkeypatch.setattr(module, "LEAST_EXPLORED", 10**6)
    assert "exposures on" in served_log(pipelines["best"], days)
    assert "explored, expected" in served_log(pipelines["best"], days)


def test_days_on_which_nothing_was_served_say_so(futures) -> None:
    days, pipelines = futures
    before = [dt for dt in pipelines["best"].committed() if dt < days[0]]
    assert served_log(pipelines["best"], before) == (
        f"nothing was shown on {before[0]} .. {before[-1]} because of a list that is still in the lake"
    )


def test_a_going_live_of_lists_that_are_gone_leaves_their_exposures_out(futures) -> None:
    _, pipelines = futures
    mine = pipelines["shuffled"]
    before = len(log_of(futures, "shuffled").exposures.rows)
    record_live(mine.lake, mine.name, Served(9, "gone", "2020-01-01", 1, "gone", "2020-01-01"))
    assert len(log_of(futures, "shuffled").exposures.rows) == before
