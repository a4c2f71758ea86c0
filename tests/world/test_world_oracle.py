"""The planted truth: it predicts the logged future, and serving it makes users happier."""

import numpy as np
import pyarrow as pa
import pytest

from ok_ml.errors import DataError
from ok_ml.world.behaviour.exposure import ServedLists
from ok_ml.world.behaviour.oracle import oracle_scores, oracle_top
from ok_ml.world.behaviour.simulation import simulate_block
from ok_ml.world.randomness import SOURCE_IDS, USER_IDS
from tests.world.conftest import POSITIVE, column, of_action

CUT, DAYS = 24, 3


@pytest.fixture(scope="module")
def scores(tiny):
    return oracle_scores(tiny.world, 0, CUT, DAYS, tiny.states[CUT][0])[0]


@pytest.fixture(scope="module")
def future(tiny, scores):
    """bool [users, sources]: positive reactions after the cut to what was not subscribed to at the cut."""
    reactions = of_action(pa.concat_tables(tiny.events[CUT + 1 : CUT + 1 + DAYS]), *POSITIVE)
    user, source = USER_IDS.decode(column(reactions, "userId")), SOURCE_IDS.decode(column(reactions, "ownerId"))
    hit = np.zeros(scores.shape, bool)
    hit[user, source] = True
    return hit & ~_subscribed(tiny, scores.shape)


def test_the_oracle_beats_popularity_on_the_logged_future(tiny, scores, future):
    past = of_action(pa.concat_tables(tiny.events[: CUT + 1]), *POSITIVE)
    popularity = np.bincount(SOURCE_IDS.decode(column(past, "ownerId")), minlength=scores.shape[1])
    subscribed = _subscribed(tiny, scores.shape)
    best, popular = (
        _recall(np.where(subscribed, -1.0, score), future)
        for score in (scores, np.broadcast_to(popularity, scores.shape))
    )
    assert best > 0.5
    assert best > 2.5 * popular


def test_the_oracle_is_calibrated(tiny, scores, future):
    expected = np.where(_subscribed(tiny, scores.shape), 0, scores)
    assert abs(expected.sum() / future.sum() - 1) < 0.1
    likely = expected > 0.1
    assert abs(expected[likely].sum() / future[likely].sum() - 1) < 0.2


def test_exposure_adds_up_to_all_posts_of_a_day(tiny):
    """With everything liked, the expected reactions are the posts: a check of the channels against the simulation."""
    shown = np.zeros(tiny.world.day_table(20).weight.shape)
    for day in (20, 21, 22):
        events = of_action(tiny.events[day], "show")
        shown += np.bincount(SOURCE_IDS.decode(column(events, "ownerId")), minlength=len(shown))
    scored = oracle_scores(tiny.world, 0, 19, 3, tiny.states[19][0])[0].sum(axis=0)
    known = (shown > 0) & (scored > 0)
    assert np.corrcoef(np.log(shown[known]), np.log(scored[known]))[0, 1] > 0.75


def test_tastes_alone_are_worth_less_than_the_feed_to_come_and_more_than_popularity(tiny, scores, future):
    past = of_action(pa.concat_tables(tiny.events[: CUT + 1]), *POSITIVE)
    popularity = np.bincount(SOURCE_IDS.decode(column(past, "ownerId")), minlength=scores.shape[1])
    (tastes,) = oracle_scores(tiny.world, 0, CUT, DAYS, tiny.states[CUT][0], feeds=(False,))
    subscribed = _subscribed(tiny, scores.shape)
    feed, taste, popular = (
        _recall(np.where(subscribed, -1.0, score), future)
        for score in (scores, tastes, np.broadcast_to(popularity, scores.shape))
    )
    assert feed > 1.2 * taste > 1.5 * popular


def test_serving_the_oracle_earns_more_than_serving_at_random(tiny):
    """The same day twice, with lists of the oracle and with random ones."""
    world, day = tiny.world, 27
    users = np.sort(world.user_ids(day))
    state = tiny.states[day - 1][0]
    subscriptions = state.table(world.block(0).users)
    exclude = _exclude(subscriptions, users)
    (best,) = oracle_top(world, users, day - 1, 1, exclude, 20, subscriptions)
    random = SOURCE_IDS.encode(np.random.default_rng(3).choice(world.day_table(day).alive, (len(users), 20)))
    earned = [
        of_action(simulate_block(world, 0, day, state, ServedLists(users, lists)).events, *POSITIVE).num_rows
        for lists in (best, random)
    ]
    assert earned[0] > 1.15 * earned[1]


def test_top_lists_are_the_best_scores_without_what_is_excluded(tiny, scores):
    world, users = tiny.world, tiny.world.user_ids(CUT)[[5, 3, 200]]
    subscriptions = tiny.states[CUT][0].table(world.block(0).users)
    indptr, excluded = _exclude(subscriptions, users)
    (top,) = oracle_top(world, users, CUT, DAYS, (indptr, excluded), 10, subscriptions)
    for place, user in enumerate(USER_IDS.decode(users)):
        mine = scores[user].copy()
        mine[SOURCE_IDS.decode(excluded[indptr[place] : indptr[place + 1]])] = 0
        assert np.allclose(mine[SOURCE_IDS.decode(top[place])], np.sort(mine)[::-1][:10])
    (everything,) = oracle_top(world, users[:1], CUT, 1, (np.array([0, 0]), excluded[:0]), 1000, subscriptions)
    alive = np.intersect1d(world.day_table(CUT).alive, world.day_table(CUT + 1).alive)
    assert set(SOURCE_IDS.decode(everything[0][everything[0] >= 0])) == set(alive)
    assert everything[0, -1] == -1


def test_days_on_which_sources_are_born_are_as_wide_as_the_cut(tiny):
    """On day 28 the next chunk of sources joins: the scores are still those of what is alive at the cut."""
    state, some = tiny.states[26][0], np.arange(20)
    one, three = (oracle_scores(tiny.world, 0, 26, days, state, some)[0] for days in (1, 3))
    assert one.shape == three.shape == (20, 400)
    assert len(tiny.world.sources(28)) > 400
    assert np.all(three >= one)
    assert three.sum() > 1.5 * one.sum()


def test_a_stranger_has_no_oracle(tiny):
    subscriptions = tiny.states[CUT][0].table(tiny.world.block(0).users)
    with pytest.raises(DataError, match="1 user ids are not of this world"):
        oracle_top(tiny.world, np.array([12]), CUT, 1, (np.array([0, 0]), np.array([], np.int64)), 5, subscriptions)


def _subscribed(tiny, shape):
    state = tiny.states[CUT][0]
    mask = np.zeros(shape, bool)
    mask[state.rows, state.sources] = True
    return mask


def _recall(score, future):
    users = np.flatnonzero(future.any(axis=1))
    top = np.argsort(-score[users], axis=1, kind="stable")[:, :10]
    hits = np.take_along_axis(future[users], top, axis=1).sum(axis=1)
    return (hits / np.minimum(future[users].sum(axis=1), 10)).mean()


def _exclude(subscriptions, users):
    owner, member = column(subscriptions, "ownerId"), column(subscriptions, "userId")
    each = [owner[member == user] for user in users]
    return np.cumsum([0, *map(len, each)]), np.concatenate(each)
