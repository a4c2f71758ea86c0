"""A small network with planted tastes: every user likes the sources of two topics, and little else.

What a user runs into on a day is half of the time what they ran into the days before, whether they like it or not:
the features of pairs know it, the embeddings do not.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml import columns as c
from ok_ml.config.models import EmbeddingsStage, TrainingSetStage
from ok_ml.hashing import part_of
from ok_ml.lake import Lake
from ok_ml.recommender.ranking.gather import FeatureLayout
from ok_ml.recommender.ranking.ranking_context import Cut, Tables
from ok_ml.recommender.ranking.training_set import CandidatesBuilder, TrainingTask
from ok_ml.recommender.retrieval.activity import Activity
from ok_ml.recommender.retrieval.fitted import Fitted
from ok_ml.recommender.retrieval.neighbours import Neighbours
from ok_ml.recommender.retrieval.popularity import popularities_from_events
from ok_ml.recommender.vectors.embeddings import create_engine
from ok_ml.recommender.vectors.interactions import interactions_from_events

PARTS, USERS, SOURCES, TOPICS = 3, 240, 60, 6
DTS = [f"2026-03-{day:02d}" for day in range(2, 12)]
DATASET, EXPERIMENT = "tiny", "tiny_experiment"
WEIGHTS = {c.LIKE: 1.0, c.SHARE: 3.0}
GRADES = {c.LIKE: 2, c.SHARE: 4}
LAYOUT = FeatureLayout(
    user=("impressions_seen",), source=("likes_got",), pair=("likes_given", "times_seen"),
    absent={"impressions_seen": 0.0, "likes_got": -1.0, "likes_given": 0.0, "times_seen": 0.0},
)  # fmt: skip
STAGE = EmbeddingsStage(factors=8, iterations=6, regularization=0.5, alpha=5.0)
USER_IDS = np.arange(USERS, dtype=np.int64) * 7919 + 10_000_000_000
SOURCE_IDS = np.arange(SOURCES, dtype=np.int64) * 31 + 5
COLD = set(USER_IDS[-12:].tolist())  # registered, never active


def topics_of(user: int) -> tuple[int, int]:
    return user % TOPICS, (user * 5 + 1) % TOPICS


@dataclass
class TinyWorld:
    lake: Lake
    events: dict[str, pa.Table]

    @property
    def tables(self) -> Tables:
        return Tables(self.lake, DATASET, EXPERIMENT)


def with_part(table: pa.Table) -> pa.Table:
    return table.append_column(c.PART, pa.array(part_of(table[c.USER_ID].to_numpy(), PARTS)))


def day_events(rng: np.random.Generator) -> pa.Table:
    users, sources, kinds = [], [], []
    for user in range(USERS - len(COLD)):
        finds = (user * 7 + 11 * np.arange(8)) % SOURCES
        for source in {*rng.choice(SOURCES, 4, replace=False).tolist(), *rng.choice(finds, 4, replace=False).tolist()}:
            liked = rng.random() < (0.75 if source % TOPICS in topics_of(user) else 0.1)
            kind = (c.SHARE if rng.random() < 0.2 else c.LIKE) if liked else None
            for name in [c.IMPRESSION, *([kind] if kind else [])]:
                users.append(USER_IDS[user])
                sources.append(SOURCE_IDS[source])
                kinds.append(name)
    return with_part(
        pa.table(
            {c.USER_ID: pa.array(users, pa.int64()), c.SOURCE_ID: pa.array(sources, pa.int64()), c.EVENT_TYPE: kinds}
        )
    )


def write_snapshots(lake: Lake, dt: str) -> None:
    segments = ["young" if user % 2 else "old" for user in range(USERS)]
    users = with_part(pa.table({c.USER_ID: USER_IDS, c.SEGMENT: segments}))
    topics = [f"topic {source % TOPICS}" if source else None for source in range(SOURCES)]
    friends = [(user, (user + step) % USERS) for user in range(USERS) for step in (TOPICS, USERS - TOPICS)]
    own = [(user, source) for user in range(USERS) for source in (topics_of(user)[0], topics_of(user)[0] + 2 * TOPICS)]
    tables = {
        c.USERS: users,
        c.FRIENDS: with_part(
            pa.table({c.USER_ID: USER_IDS[[a for a, _ in friends]], c.FRIEND_ID: USER_IDS[[b for _, b in friends]]})
        ),
        c.SUBSCRIPTIONS: with_part(
            pa.table({c.USER_ID: USER_IDS[[a for a, _ in own]], c.SOURCE_ID: SOURCE_IDS[[b for _, b in own]]})
        ),
    }
    for name, table in tables.items():
        lake.write(DATASET, name, dt, table, sort_by=table.column_names[:2], by_part=True)
    lake.write(DATASET, c.SOURCES, dt, pa.table({c.SOURCE_ID: SOURCE_IDS, c.TOPIC: topics}), sort_by=[c.SOURCE_ID])


def count(rows: pa.Table, by: list[str], name: str) -> pa.Table:
    """Rows of each key."""
    found = rows.group_by(by).aggregate([([], "count_all")])
    return found.select(by).append_column(name, found["count_all"].cast(pa.float32()))


def write_features(lake: Lake, dt: str, events: list[pa.Table]) -> None:
    """Counts over everything up to `dt`; `likes_given` of a pair is what a leak would show."""
    rows = pa.concat_tables(events)
    seen = rows.filter(pc.equal(rows[c.EVENT_TYPE], c.IMPRESSION))
    liked = rows.filter(pc.not_equal(rows[c.EVENT_TYPE], c.IMPRESSION))
    pair = [c.USER_ID, c.SOURCE_ID]
    pairs = count(seen, pair, "times_seen").join(count(liked, pair, "likes_given"), pair)
    pairs = pairs.set_column(3, "likes_given", pc.fill_null(pairs["likes_given"], 0.0))
    topics = [f"topic {source}" for source in ((liked[c.SOURCE_ID].to_numpy() - 5) // 31 % TOPICS).tolist()]
    shares = count(liked.append_column(c.TOPIC, pa.array(topics)), [c.USER_ID, c.TOPIC], "likes")
    shares = shares.join(count(liked, [c.USER_ID], "total"), c.USER_ID)
    shares = shares.append_column("share", pc.divide(shares["likes"], shares["total"])).drop_columns(["likes", "total"])
    users = count(rows, [c.USER_ID], "impressions_seen")
    lake.write(EXPERIMENT, c.USER_FEATURES, dt, with_part(users), sort_by=[c.USER_ID], by_part=True)
    lake.write(EXPERIMENT, c.SOURCE_FEATURES, dt, count(liked, [c.SOURCE_ID], "likes_got"), sort_by=[c.SOURCE_ID])
    lake.write(EXPERIMENT, c.PAIR_FEATURES, dt, with_part(pairs), sort_by=pair, by_part=True)
    lake.write(EXPERIMENT, c.USER_TOPICS, dt, with_part(shares), sort_by=[c.USER_ID, c.TOPIC], by_part=True)


def fit(world, cut_dt):
    dts = [dt for dt in DTS if dt <= cut_dt]
    return create_engine("implicit").fit(interactions_from_events(world.lake, DATASET, dts, WEIGHTS, cut_dt), STAGE, 11)


def popularity(world, cut_dt):
    dts = [dt for dt in DTS if dt <= cut_dt]
    return popularities_from_events(world.lake, DATASET, dts, WEIGHTS, cut_dt, [5.0])[0]


def fitted(world, cut_dt, factors=None, neighbours=None):
    """What candidates come from as of a day; vectors and neighbours may be older."""
    recent, dts = popularity(world, cut_dt), [dt for dt in DTS if dt <= cut_dt]
    met = Activity.of(
        interactions_from_events(world.lake, DATASET, dts, {**WEIGHTS, c.IMPRESSION: 1.0}, cut_dt, half_life_days=3)
    )
    return Fitted(factors or fit(world, cut_dt), neighbours or Neighbours.none(), recent, recent, recent, met)


def training_set(world, days, factors, *, negatives, seed=1, grades=None, builder=CandidatesBuilder):
    def cut_of(dt):
        return Cut.load(world.tables, dt, fitted=fitted(world, dt, factors), layout=LAYOUT)

    stage = TrainingSetStage(label_days=2, negatives_per_positive=negatives)
    return builder().build(TrainingTask(world.tables, days, cut_of, LAYOUT, grades or GRADES, stage, 30, seed))


def build_world(folder) -> TinyWorld:
    lake = Lake(folder / "lake")
    rng = np.random.default_rng(3)
    events = {dt: day_events(rng) for dt in DTS}
    for dt, table in events.items():
        lake.write(DATASET, c.EVENTS, dt, table, sort_by=[c.USER_ID, c.SOURCE_ID, c.EVENT_TYPE], by_part=True)
    for i in range(5, len(DTS)):
        write_snapshots(lake, DTS[i])
        write_features(lake, DTS[i], [events[dt] for dt in DTS[: i + 1]])
    return TinyWorld(lake, events)
