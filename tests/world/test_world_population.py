"""Users, sources, friends and their ids, on any day."""

import numpy as np
import pyarrow.compute as pc
import pytest

from ok_ml.config.models import WorldConfig
from ok_ml.errors import ConfigError, DataError
from ok_ml.world.parameters import Behaviour
from ok_ml.world.population.friends import friendships
from ok_ml.world.population.network import World
from ok_ml.world.randomness import POST_IDS, SOURCE_IDS, USER_IDS, Stream, generator, hash64, normal, uniform
from tests.world.conftest import SMALL, column


@pytest.mark.parametrize("space", [USER_IDS, SOURCE_IDS, POST_IDS])
def test_ids_are_a_bijection_and_look_sparse(space):
    index = np.concatenate([np.arange(50_000), [2**space.bits - 1]])
    ids = space.encode(index)
    assert len(np.unique(ids)) == len(ids)
    assert ids.min() > 0
    assert (ids > 2**31).mean() > 0.5
    assert np.array_equal(space.decode(ids), index)
    assert np.abs(np.corrcoef(index[:-1], ids[:-1])[0, 1]) < 0.05


def test_what_is_no_id_decodes_to_minus_one():
    assert USER_IDS.decode(np.array([0, -5, 2**60])).tolist() == [-1, -1, -1]


def test_draws_belong_to_seed_stream_block_and_day():
    def draw(*key):
        return generator(*key).random(4).tolist()

    base = draw(7, Stream.DAY, 3, 5)
    assert draw(7, Stream.DAY, 3, 5) == base
    others = [
        draw(8, Stream.DAY, 3, 5),
        draw(7, Stream.FINDS, 3, 5),
        draw(7, Stream.DAY, 4, 5),
        draw(7, Stream.DAY, 3, 6),
    ]
    assert all(other != base for other in others)


def test_hashed_numbers_are_uniform_and_normal():
    bits = hash64(7, Stream.PAIRS, np.arange(300)[:, None], np.arange(300)[None, :])
    assert len(np.unique(bits)) == 90_000
    assert np.histogram(uniform(bits), 10, (0, 1))[0].min() > 8_600
    deviates = normal(bits)
    assert abs(deviates.mean()) < 0.02
    assert abs(deviates.std() - 1) < 0.02


def test_tastes_are_distributions_that_move_for_some_and_stay_for_others():
    world = World(SMALL, 4)
    users = world.block(0).users
    first, last = users.taste(0), users.taste(60)
    assert np.allclose(first[1].sum(axis=1), 1, atol=1e-5)
    # drifting interests have only changed weights; a jump changes niches as well
    same_niches = (first[0][:, :4] == last[0][:, :4]).all(axis=1)
    assert 0.3 < same_niches.mean() < 0.7
    assert np.array_equal(users.taste(9)[0], World(SMALL, 4).block(0).users.taste(9)[0])


def test_age_groups_lean_towards_different_topics(tiny):
    users = tiny.world.block(0).users
    topic = users.taste(0)[0][:, 0] // tiny.world.topics.niches_a_topic

    def unevenness(age):
        table = np.bincount(age.astype(np.int64) * 24 + topic, minlength=6 * 24).reshape(6, 24)
        expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
        return ((table - expected) ** 2 / np.maximum(expected, 1e-9)).sum()  # chi squared

    assert unevenness(users.age) > 2 * unevenness(np.random.default_rng(0).permutation(users.age))


def test_friends_go_both_ways_and_share_tastes(small):
    table = small.world.friends_table(5)
    pairs = set(zip(column(table, "userId").tolist(), column(table, "friendId").tolist(), strict=True))
    assert len(pairs) == table.num_rows
    assert all((friend, user) in pairs for user, friend in pairs)
    users = small.world.block(0).users
    edges = friendships(SMALL, Behaviour(), users)
    inside = edges.friend < len(users)
    niches = users.taste(0)[0]

    def overlap(a, b):
        return np.mean([len(set(niches[x, :4]) & set(niches[y, :4])) for x, y in zip(a, b, strict=True)])

    strangers = np.random.default_rng(1).permutation(edges.friend[inside])
    assert overlap(edges.user[inside], edges.friend[inside]) > 1.15 * overlap(edges.user[inside], strangers)


def test_users_register_over_time_and_beyond_the_configured_days(small):
    world = small.world
    counts = [world.users_table(day).num_rows for day in (0, 9, 27, 200)]
    assert counts[0] < counts[1] < counts[2] == SMALL.users < counts[3]
    table = world.users_table(9)
    assert pc.max(table["registered"]).as_py() <= world.date_of(9)
    assert sorted(world.user_ids(9)) == sorted(column(table, "userId"))


def test_sources_are_born_and_die(small):
    first, last = (set(column(small.world.sources_table(day), "ownerId").tolist()) for day in (0, 27))
    assert last - first
    assert first - last
    later = small.world.sources_table(100)
    assert set(later["kind"].to_pylist()) == {"group", "author"}
    assert 0 < later["topic"].null_count < 0.15 * later.num_rows
    assert len(set(column(small.world.sources_table(90), "ownerId").tolist()) - first - last) > 0


def test_a_day_does_not_depend_on_how_many_days_are_configured(small):
    longer = World(SMALL.model_copy(update={"days": 200}), 4)
    assert longer.sources_table(9).equals(small.world.sources_table(9))
    assert longer.users_table(9).equals(small.world.users_table(9))


def test_an_unknown_parameter_of_behaviour_is_an_error():
    config = WorldConfig(start="2026-01-05", days=8, users=100, sources=50, behaviour={"activ_share": 0.5})
    with pytest.raises(ConfigError, match=r"no such parameter: activ_share[\s\S]*use one of:.*active_share"):
        World(config, 4)


def test_a_date_before_the_beginning_is_an_error(small):
    with pytest.raises(DataError, match="begins on 2026-01-05, not on 2026-01-04"):
        small.world.day_of("2026-01-04")
