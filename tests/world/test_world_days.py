"""What a simulated day looks like: volume, popularity, rhythm, reactions, state."""

import numpy as np
import pyarrow as pa

from ok_ml.world.behaviour.exposure import ServedLists
from ok_ml.world.behaviour.simulation import RAW_EVENTS, first_subscriptions, simulate_block
from ok_ml.world.population.network import World
from ok_ml.world.randomness import SOURCE_IDS, USER_IDS
from tests.world.conftest import POSITIVE, SMALL, column, of_action


def test_same_arguments_same_rows(small):
    state = small.states[3][1]
    again = simulate_block(World(SMALL, 4), 1, 4, state)
    assert again.events.equals(simulate_block(small.world, 1, 4, state).events)
    assert np.array_equal(again.subscriptions.keys, small.states[4][1].keys)


def test_volume_of_the_tiny_size(tiny):
    rows = [day.num_rows for day in tiny.events]
    assert 85_000 < sum(rows) < 140_000
    events = pa.concat_tables(tiny.events)
    assert events.schema == RAW_EVENTS
    shows, silent = of_action(events, "show"), set(tiny.world.user_ids(27)) - set(column(events, "userId"))
    assert 0.015 < len(silent) / 1000 < 0.15  # some never come
    assert 0.15 < of_action(events, *POSITIVE).num_rows / shows.num_rows < 0.6


def test_popularity_is_zipf_like(tiny):
    source = column(of_action(pa.concat_tables(tiny.events), "show"), "ownerId")
    counts = np.sort(np.unique(source, return_counts=True)[1])[::-1]
    assert counts[: len(counts) // 100].sum() > 0.06 * counts.sum()
    rank = np.arange(1, 101)
    slope = np.polyfit(np.log(rank), np.log(counts[:100]), 1)[0]
    assert -1.3 < slope < -0.35


def test_weekends_and_evenings_are_busy(tiny):
    shows = np.array([of_action(day, "show").num_rows for day in tiny.events]).reshape(4, 7)
    assert shows[:, 5:].mean() > 1.05 * shows[:, :5].mean()
    time = column(pa.concat_tables(tiny.events), "timestampMs")
    hour = np.bincount(time // 3_600_000 % 24, minlength=24)
    assert hour[18:22].mean() > 4 * hour[1:4].mean()


def test_rows_stay_in_their_day(small):
    for day, events in enumerate(small.events):
        time = column(events, "timestampMs")
        assert time.min() >= small.world.start_ms(day)
        assert time.max() < small.world.start_ms(day + 1)


def test_the_top_of_the_feed_earns_more(tiny):
    events = pa.concat_tables(tiny.events)
    keys = ["userId", "ownerId", "objectId"]
    shows = of_action(events, "show")
    liked = of_action(events, "like").group_by(keys).aggregate([([], "count_all")])
    joined = shows.join(liked, keys)
    hit = joined["count_all"].is_valid().to_numpy()
    position = joined["pos"].to_numpy()
    assert hit[position == 0].mean() > 1.2 * hit[position >= 6].mean()
    assert position.min() == 0
    assert position.max() == 7


def test_reactions_name_an_impression_and_carry_neither_position_nor_time_spent(small):
    events = small.events[2]
    shows, others = of_action(events, "show"), of_action(events, *POSITIVE, "hide", "subscribe", "unsubscribe")
    keys = ["userId", "ownerId", "objectId"]
    assert others.join(shows.select(keys).group_by(keys).aggregate([]), keys, join_type="left anti").num_rows == 0
    assert others["pos"].null_count == others["durationMs"].null_count == others.num_rows
    assert shows["pos"].null_count == shows["durationMs"].null_count == 0
    requests = of_action(events, "friend_request")
    assert set(column(requests, "ownerId")) <= {0}


def test_friend_requests_come_before_new_friendships(small):
    new = small.world.friends_table(6).num_rows - small.world.friends_table(5).num_rows
    asked = of_action(small.events[6], "friend_request")
    pairs = {*zip(column(asked, "userId").tolist(), column(asked, "objectId").tolist(), strict=True)}
    table = small.world.friends_table(6)
    friends = {*zip(column(table, "userId").tolist(), column(table, "friendId").tolist(), strict=True)}
    assert new > 0
    assert len(pairs & friends) > 0.9 * new / 2  # one of the two asks, unless silent


def test_subscriptions_follow_from_events(small):
    world = small.world
    state = {pair for block in world.blocks(0) for pair in _pairs(world, block, first_subscriptions(world, block))}
    for day, events in enumerate(small.events):
        added, removed = (_event_pairs(events, action) for action in ("subscribe", "unsubscribe"))
        assert not added & state
        assert removed <= state
        state = (state | added) - removed
        after = {pair for block, kept in small.states[day].items() for pair in _pairs(world, block, kept)}
        assert state == after
    assert added


def test_tastes_decide_what_is_liked(small):
    """What users are subscribed to follows their tastes, so it earns more reactions a show than the rest."""
    events = small.events[0]
    state = {pair for block, kept in small.states[0].items() for pair in _pairs(small.world, block, kept)}

    def subscribed(table):
        pairs = zip(column(table, "userId").tolist(), column(table, "ownerId").tolist(), strict=True)
        return np.array([pair in state for pair in pairs])

    shows, likes = subscribed(of_action(events, "show")), subscribed(of_action(events, "like"))
    assert likes.sum() / shows.sum() > 1.3 * (~likes).sum() / (~shows).sum()


def test_friends_subscribe_to_the_same_sources(small):
    keys = small.states[-1][0]
    circle = small.world.block(0).users.circle[keys.rows]

    def common(groups):
        cells = np.unique(groups << 32 | keys.sources, return_counts=True)[1]
        return (cells * (cells - 1)).sum()

    shuffled = np.random.default_rng(0).permutation(small.world.block(0).users.circle)[keys.rows]
    assert common(circle) > 1.4 * common(shuffled)


def test_lists_of_users_who_are_not_there_change_nothing(small):
    served = ServedLists(np.array([1, 2], np.int64), np.full((2, 5), SOURCE_IDS.encode(np.array([3]))[0]))
    alone, with_lists = (simulate_block(small.world, 0, 4, small.states[3][0], lists) for lists in (None, served))
    assert alone.events.equals(with_lists.events)


def test_served_sources_are_shown_from_the_top_down(small):
    users = np.sort(small.world.user_ids(4))
    alive = small.world.day_table(4).alive[:40]
    lists = np.tile(SOURCE_IDS.encode(alive), (len(users), 1))
    day = simulate_block(small.world, 0, 4, small.states[3][0], ServedLists(users, lists))
    shown = (
        USER_IDS.decode(column(of_action(day.events, "show"), "userId")),
        SOURCE_IDS.decode(column(of_action(day.events, "show"), "ownerId")),
    )
    plain = simulate_block(small.world, 0, 4, small.states[3][0]).events
    before = SOURCE_IDS.decode(column(of_action(plain, "show"), "ownerId"))
    extra = [np.isin(shown[1], part).sum() - np.isin(before, part).sum() for part in (alive[:5], alive[-5:])]
    assert extra[0] > 20
    assert extra[0] > 2 * extra[1]


def _pairs(world, block, state):
    table = state.table(world.block(block).users)
    return zip(column(table, "userId").tolist(), column(table, "ownerId").tolist(), strict=True)


def _event_pairs(events, action):
    table = of_action(events, action)
    pairs = list(zip(column(table, "userId").tolist(), column(table, "ownerId").tolist(), strict=True))
    assert len(pairs) == len(set(pairs))
    return set(pairs)
