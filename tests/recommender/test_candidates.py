"""Candidates and the features of their pairs."""

from dataclasses import replace

import numpy as np
import pytest

from ok_ml import columns as c
from ok_ml.errors import ConfigError, ModelError
from ok_ml.hashing import part_of
from ok_ml.recommender.ids import SourceSets
from ok_ml.recommender.ranking.gather import FeatureLayout, FeatureStore
from ok_ml.recommender.ranking.ranking_context import Cut
from ok_ml.recommender.retrieval.candidates import ALS, quotas
from ok_ml.recommender.retrieval.popularity import Popularity, popularities_from_events
from ok_ml.recommender.vectors.interactions import read_events
from tests.recommender.tiny_world import COLD, DTS, LAYOUT, PARTS, SOURCE_IDS, USER_IDS, popularity


def whole(part):
    return part.block(np.arange(len(part.users.user_ids)))


def test_popularity_equals_a_count_by_hand(world):
    (found,) = popularities_from_events(world.lake, "tiny", DTS[5:7], {c.LIKE: 1.0, c.SHARE: 3.0}, DTS[6], [1.0])
    by_hand = {int(source): 0.0 for source in found.source_ids}
    for dt, decay in ((DTS[5], 0.5), (DTS[6], 1.0)):
        for row in world.events[dt].to_pylist():
            if row[c.EVENT_TYPE] != c.IMPRESSION:
                by_hand[row[c.SOURCE_ID]] += decay * (3.0 if row[c.EVENT_TYPE] == c.SHARE else 1.0)
    assert np.allclose(found.scores[0] / 2**20, [by_hand[int(source)] for source in found.source_ids], atol=1e-4)
    assert found.segments == ("old", "young")
    assert np.array_equal(found.scores[1] + found.scores[2], found.scores[0])


def test_popularity_orders_by_segment_then_everybody_then_id():
    table = Popularity(np.array([10, 20, 30, 40]), ("old",), np.array([[5, 9, 9, 5], [2, 0, 0, 2]]))
    assert table.orders(np.array([5, 10, 20, 30, 40])).tolist() == [[2, 3, 1, 4, 0], [1, 4, 2, 3, 0]]
    assert table.segment_rows(["old", None, "new"]).tolist() == [1, 0, 0]


def test_popularity_comes_back_from_disk(world, tmp_path):
    table = popularity(world, DTS[7])
    table.save(tmp_path)
    again = Popularity.load(tmp_path)
    assert (again.segments, again.scores.tolist()) == (("old", "young"), table.scores.tolist())


def test_events_are_read_without_other_types(world):
    rows = next(iter(read_events(world.lake, "tiny", [DTS[0]], [c.SHARE, c.LIKE], 1)))
    mine = [row for row in world.events[DTS[0]].to_pylist() if row[c.PART] == 1 and row[c.EVENT_TYPE] != c.IMPRESSION]
    assert len(rows.user_ids) == len(mine)
    assert np.bincount(rows.types).tolist() == [sum(r[c.EVENT_TYPE] == t for r in mine) for t in (c.SHARE, c.LIKE)]


def test_no_candidate_is_subscribed_repeated_or_missing(cut):
    for number in range(PARTS):
        block = whole(cut.part(number))
        found = cut.index.candidates(block, 40)
        for user in range(block.size):
            mine = found.sources[user][found.sources[user] >= 0]
            barred = block.excluded.indices[block.excluded.indptr[user] : block.excluded.indptr[user + 1]]
            assert len(set(mine.tolist())) == len(mine) == 40
            assert not set(mine.tolist()) & set(barred.tolist())


def test_each_pool_gives_its_quota_and_friends_come_by_count(cut):
    block = whole(cut.part(0))
    found = cut.index.candidates(block, 30)
    warm = np.flatnonzero(block.factor_rows >= 0)
    assert quotas(30, 0) == [20, 6, 3, 1]  # taste, friends, popular, hot just now
    assert quotas(100, 2) == [
        35,
        15,
        15,
        20,
        10,
        5,
    ]  # taste, two models of the neighbours, friends, popular, hot just now
    taste, _ = cut.index.by_taste(block, 20)
    assert np.array_equal(found.sources[warm, :20], taste[warm])
    assert (found.reasons[warm, :20] == c.REASON_TASTE).all()
    friends = cut.index.by_friends(block)
    counts = cut.part(0).users.friends_subscribed(np.arange(block.size), cut.subscriptions)
    for user in range(block.size):
        listed = friends.indices[friends.indptr[user] : friends.indptr[user + 1]]
        own = counts.sources.indices[counts.sources.indptr[user] : counts.sources.indptr[user + 1]]
        by_source = dict(
            zip(
                own.tolist(),
                counts.weights[counts.sources.indptr[user] : counts.sources.indptr[user + 1]].tolist(),
                strict=True,
            )
        )
        ranked = [by_source[source] for source in listed.tolist()]
        assert ranked == sorted(ranked, reverse=True)


def test_friends_subscribed_is_counted_pair_by_pair(cut, world):
    subscribed = {}
    for row in world.lake.read("tiny", c.SUBSCRIPTIONS, [DTS[7]]).to_pylist():
        subscribed.setdefault(row[c.USER_ID], set()).add(row[c.SOURCE_ID])
    friends = {}
    for row in world.lake.read("tiny", c.FRIENDS, [DTS[7]]).to_pylist():
        friends.setdefault(row[c.USER_ID], set()).add(row[c.FRIEND_ID])
    part = cut.part(2)
    block = whole(part)
    users = np.repeat(np.arange(block.size), len(SOURCE_IDS))
    sources = np.tile(np.arange(len(SOURCE_IDS)), block.size)
    features = part.store.gather(block, users, sources, {ALS: np.ones(block.size)})
    column = part.store.feature_order().index("friends_subscribed")
    expected = [
        sum(int(SOURCE_IDS[s]) in subscribed[f] for f in friends[int(block.user_ids[u])])
        for u, s in zip(users, sources, strict=True)
    ]
    assert features[:, column].tolist() == expected


def test_block_size_and_order_change_no_candidate(cut):
    part = cut.part(1)
    rows = np.arange(len(part.users.user_ids))
    together = cut.index.candidates(part.block(rows), 25)
    shuffled = np.random.default_rng(0).permutation(rows)
    pieces = [cut.index.candidates(block, 25) for block in part.blocks(shuffled, size=3)]
    assert np.array_equal(np.concatenate([piece.sources for piece in pieces]), together.sources[shuffled])
    assert np.array_equal(
        np.concatenate([piece.best_scores[ALS] for piece in pieces]), together.best_scores[ALS][shuffled]
    )


def test_users_without_history_get_what_friends_have_and_the_popular_of_their_segment(cut):
    part = cut.part(0)
    block = whole(part)
    cold = np.flatnonzero(np.isin(block.user_ids, list(COLD)))
    block = replace(block, excluded=SourceSets.from_pairs(cold, np.full(len(cold), 3), block.size))
    lists, reasons = cut.index.fallback(block, cold, 10)
    friends = cut.index.by_friends(block)
    assert len(cold)
    assert (block.factor_rows[cold] == -1).all()
    for place, user in enumerate(cold):
        order = cut.index.orders[block.segment_rows[user]]
        barred = block.excluded.indices[block.excluded.indptr[user] : block.excluded.indptr[user + 1]]
        theirs = friends.indices[friends.indptr[user] : friends.indptr[user + 1]]
        wanted = [source for source in theirs.tolist() if source not in barred][:5]
        rest = [source for source in order.tolist() if source not in barred and source not in wanted]
        assert lists[place].tolist() == [*wanted, *rest][:10]
        assert reasons[place].tolist() == [c.REASON_FRIENDS] * len(wanted) + [c.REASON_FALLBACK] * (10 - len(wanted))
    assert (reasons == c.REASON_FRIENDS).any()


def test_a_source_that_nobody_met_takes_the_mean_vector_of_its_topic(cut):
    index = cut.index
    newcomer = int(index.catalogue.source_ids[7])
    known = index.factors.source_ids != newcomer
    factors = replace(
        index.factors, source_ids=index.factors.source_ids[known], source_factors=index.factors.source_factors[known]
    )
    fresh = replace(index, fitted=replace(index.fitted, factors=factors))
    vectors, rows = fresh.vectors
    same_topic = [i for i, topic in enumerate(index.catalogue.topics) if topic == index.catalogue.topics[7] and i != 7]
    mean = np.mean([index.factors.source_factors[index.factor_rows[i]] for i in same_topic], axis=0)
    assert np.allclose(vectors[rows[7]], mean, atol=1e-6)
    without_topic = index.catalogue.topics.index(None)
    assert index.catalogue.source_ids[without_topic] in factors.source_ids  # it has events, so a vector of its own
    block = whole(cut.part(0))
    lists, _ = fresh.by_taste(block, index.catalogue.size)
    assert (lists == 7).any(axis=1)[block.factor_rows >= 0].any()


def test_every_feature_of_a_pair_is_what_its_tables_say(cut, world):
    user_id = int(USER_IDS[4])
    part = cut.part(int(part_of(USER_IDS[4:5], PARTS)[0]))
    block = part.block(np.flatnonzero(part.users.user_ids == user_id))
    found = cut.index.candidates(block, 20)
    sources = np.arange(len(SOURCE_IDS))
    rows = part.store.gather(block, np.zeros(len(sources), np.int64), sources, found.best_scores)
    table = {name: rows[:, i] for i, name in enumerate(part.store.feature_order())}

    def read(name):
        return world.lake.read("tiny_experiment", name, [DTS[7]]).to_pylist()

    seen = next(row["impressions_seen"] for row in read(c.USER_FEATURES) if row[c.USER_ID] == user_id)
    got = {row[c.SOURCE_ID]: row["likes_got"] for row in read(c.SOURCE_FEATURES)}
    given = {row[c.SOURCE_ID]: row["likes_given"] for row in read(c.PAIR_FEATURES) if row[c.USER_ID] == user_id}
    shares = {row[c.TOPIC]: row["share"] for row in read(c.USER_TOPICS) if row[c.USER_ID] == user_id}
    topics = [None, *(f"topic {s % 6}" for s in range(1, len(SOURCE_IDS)))]
    exact = cut.index.factors.user_factors[block.factor_rows[0]].astype(
        float
    ) @ cut.index.factors.source_factors.T.astype(float)
    assert set(table["impressions_seen"]) == {seen}
    assert table["likes_got"].tolist() == [got.get(int(s), -1.0) for s in SOURCE_IDS]
    assert table["likes_given"].tolist() == [given.get(int(s), 0.0) for s in SOURCE_IDS]
    assert np.allclose(table["topic_affinity"], [shares.get(t, 0.0) if t else 0.0 for t in topics])
    assert np.allclose(table["als_score"], exact, atol=1e-5)
    assert np.allclose(table["als_score_relative"], exact / found.best_scores[ALS][0], atol=1e-5)
    assert found.best_scores[ALS][0] == pytest.approx(max(exact[found.sources[0]]), abs=1e-6)
    assert np.array_equal(np.argsort(table["popularity_rank_share"]), cut.index.orders[0])


def test_a_user_without_rows_gets_the_absent_values(cut):
    cold = int(USER_IDS[-1])
    part = cut.part(int(part_of(USER_IDS[-1:], PARTS)[0]))
    block = part.block(np.flatnonzero(part.users.user_ids == cold))
    row = part.store.gather(block, np.zeros(1, np.int64), np.array([3]), {ALS: np.zeros(1)})[0]
    values = dict(zip(part.store.feature_order(), row.tolist(), strict=True))
    assert {
        name: values[name]
        for name in ("impressions_seen", "likes_given", "als_score", "als_score_relative", "topic_affinity")
    } == {
        "impressions_seen": 0,
        "likes_given": 0,
        "als_score": 0,
        "als_score_relative": 0,
        "topic_affinity": 0,
    }


def test_a_missing_feature_column_is_an_error(world, cut, train_factors):
    layout = FeatureLayout((*LAYOUT.user, "dwell_ms"), LAYOUT.source, LAYOUT.pair, {**LAYOUT.absent, "dwell_ms": 0.0})
    with pytest.raises(ModelError, match="user_features of 2026-03-09 lacks the feature dwell_ms"):
        FeatureStore.load(world.lake, "tiny_experiment", DTS[7], 0, layout, cut.index, cut.sources)
    wrong = FeatureLayout(LAYOUT.user, ("novelty",), LAYOUT.pair, {**LAYOUT.absent, "novelty": 0.0})
    with pytest.raises(ModelError, match="source_features of 2026-03-09 lacks the feature novelty"):
        Cut.load(world.tables, DTS[7], fitted=cut.index.fitted, layout=wrong)


def test_a_layout_names_each_feature_once_and_knows_its_absent_value():
    with pytest.raises(ConfigError, match="named twice: a; without a value for absent rows: b"):
        FeatureLayout(("a",), ("a",), ("b",), {"a": 0.0})
    assert (
        FeatureLayout((), (), ("friends_subscribed",), {"friends_subscribed": 0.0})
        .feature_order()
        .count("friends_subscribed")
        == 1
    )
