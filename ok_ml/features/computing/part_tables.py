"""Features of the users and pairs of one part, for all target days, from one reading of its events."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ok_ml import columns as c
from ok_ml.features.computing.plan import Plan, TargetDay, files_of_part
from ok_ml.features.computing.snapshots import Dated, Links, SourceSnapshot, read_links, read_sources, read_users
from ok_ml.features.computing.social import Social
from ok_ml.features.declared.feature import Feature
from ok_ml.features.history import frames
from ok_ml.features.history.event_log import NONE, EventLog, read_log
from ok_ml.features.history.frames import Cells, Frame, UserFrame
from ok_ml.features.history.measures import WEIGHT
from ok_ml.places import place_of

SHARE: Final = "share"  # column of user_topics


@dataclass(frozen=True)
class NumberedLog:
    """A log whose users, sources and pairs have dense numbers.

    Attributes
    ----------
    user_ids, source_ids
        int64, ascending.
    user, source
        int64 [n]: places in them.
    pair_keys
        int64 [p], ascending: user * number of sources + source, so by user id, then source id.
    pair
        int64 [n]: place in `pair_keys`.
    """

    log: EventLog
    user_ids: NDArray[np.int64]
    user: NDArray[np.int64]
    source_ids: NDArray[np.int64]
    source: NDArray[np.int64]
    pair_keys: NDArray[np.int64]
    pair: NDArray[np.int64]

    @classmethod
    def of(cls, log: EventLog) -> "NumberedLog":
        """Number a log."""
        user_ids, user = np.unique(log.user_id, return_inverse=True)
        source_ids, source = np.unique(log.source_id, return_inverse=True)
        pair_keys, pair = np.unique(user * len(source_ids) + source, return_inverse=True)
        return cls(log, user_ids, user, source_ids, source, pair_keys, pair)

    @cached_property
    def cells(self) -> Cells:
        """The events as cells, shared by the frames of all days."""
        return Cells.of_log(self.log)

    @cached_property
    def pair_users(self) -> NDArray[np.int64]:
        """User id of each pair."""
        return self.user_ids[self.pair_keys // max(len(self.source_ids), 1)]

    @cached_property
    def pair_sources(self) -> NDArray[np.int64]:
        """Source id of each pair."""
        return self.source_ids[self.pair_keys % max(len(self.source_ids), 1)]

    def linked(self, links: Links) -> NDArray[np.bool_]:
        """Whether the user and the source of each event are one of some links."""
        user, source = place_of(self.user_ids, links.user_ids), place_of(self.source_ids, links.other_ids)
        keys = (user * len(self.source_ids) + source)[(user != NONE) & (source != NONE)]  # ascending, as links are
        mask: NDArray[np.bool_] = (place_of(keys, self.pair_keys) != NONE)[self.pair]
        return mask

    def present(self, number: NDArray[np.int64], count: int, target: TargetDay, days: int) -> NDArray[np.int64]:
        """Which of `count` users or pairs have an event in the `days` days that end with the target, ascending."""
        seen = np.zeros(count, bool)
        seen[number[self.log.window(target.day, days)]] = True
        return np.flatnonzero(seen)


@dataclass(frozen=True)
class PartDay:
    """The snapshots of one part at one day."""

    target: TargetDay
    users: Dated
    sources: SourceSnapshot
    subscriptions: Links
    friends: Links
    social: Social | None

    @classmethod
    def read(cls, plan: Plan, target: TargetDay, part: int) -> "PartDay":
        """Read what is of this part, and what is of all users."""
        own = {table: files_of_part(files, part) for table, files in target.snapshots.items()}
        return cls(
            target,
            read_users(own[c.USERS]),
            read_sources(target.snapshots[c.SOURCES]),
            read_links(own[c.SUBSCRIPTIONS], c.SOURCE_ID),
            read_links(own[c.FRIENDS], c.FRIEND_ID),
            Social.load(Path(plan.social) / target.dt) if plan.social else None,
        )


def part_tables(plan: Plan, part: int) -> Iterator[tuple[TargetDay, str, pa.Table]]:
    """The tables of one part that the plan has folders for, target day by target day, sorted by their keys."""
    log = read_log(plan.events_of(part), plan.weights)
    everything, met = NumberedLog.of(log), NumberedLog.of(log.about_sources())
    for target in plan.targets:
        day = PartDay.read(plan, target, part)
        if c.USER_FEATURES in target.folders or c.USER_TOPICS in target.folders:
            user_ids, frame = user_frame(plan, day, everything)
            if c.USER_FEATURES in target.folders:
                yield target, c.USER_FEATURES, user_table(plan, part, user_ids, frame)
            if c.USER_TOPICS in target.folders:
                yield (
                    target,
                    c.USER_TOPICS,
                    topic_table(part, user_ids, frame.over("affinity_days"), day.sources.topics),
                )
        if c.PAIR_FEATURES in target.folders:
            yield target, c.PAIR_FEATURES, pair_table(plan, day, met, part)


def user_frame(plan: Plan, day: PartDay, log: NumberedLog) -> tuple[NDArray[np.int64], UserFrame]:
    """Everybody in the snapshot or with an event in the longest window, by id, and their frame."""
    seen = log.present(log.user, len(log.user_ids), day.target, plan.longest)
    ids = np.union1d(day.users.ids, log.user_ids[seen])
    row = np.full(len(log.user_ids), NONE, np.int64)
    row[seen] = place_of(ids, log.user_ids[seen])
    frame = UserFrame(
        log.cells,
        row[log.user],
        len(ids),
        day.target.day,
        plan.windows,
        columns=_user_columns(day, ids),
        source=log.source,
        hour=log.log.hour,
        topic=day.sources.topic_of(log.source_ids)[log.source],
        subscribed=log.linked(day.subscriptions),
        topics=len(day.sources.topics),
    )
    return ids, frame


def _user_columns(day: PartDay, ids: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    friends, social = day.friends, day.social
    row = place_of(ids, friends.user_ids)
    of_friends = {frames.FRIENDS_EVENTS: np.zeros(len(ids)), frames.FRIENDS_SUBSCRIPTIONS: np.zeros(len(ids))}
    if social is not None:
        known, others = row[row != NONE], friends.other_ids[row != NONE]
        of_friends = {
            frames.FRIENDS_EVENTS: np.bincount(known, social.events_of(others), len(ids)).astype(np.float64),
            frames.FRIENDS_SUBSCRIPTIONS: np.bincount(known, social.subscriptions_of(others), len(ids)).astype(
                np.float64
            ),
        }
    return {
        frames.FRIENDS: friends.count(ids),
        frames.SUBSCRIPTIONS: day.subscriptions.count(ids),
        frames.REGISTERED_DAY: day.users.since(ids),
        **of_friends,
    }


def user_table(plan: Plan, part: int, user_ids: NDArray[np.int64], frame: UserFrame) -> pa.Table:
    """The features of users."""
    return feature_table({c.USER_ID: user_ids, c.PART: _constant(part, len(user_ids))}, plan.features_of("user"), frame)


def topic_table(part: int, user_ids: NDArray[np.int64], frame: UserFrame, topics: tuple[str, ...]) -> pa.Table:
    """Share of each topic in the user's weighted reactions on sources with a topic; only shares above 0."""
    weights = frame.by_topic(WEIGHT)
    user, topic = np.nonzero(weights)
    shares = weights[user, topic] / weights.sum(axis=1)[user]
    names = pa.array(topics, pa.string()).take(pa.array(topic))
    return pa.table(
        {
            c.USER_ID: pa.array(user_ids[user]),
            c.PART: pa.array(_constant(part, len(user))),
            c.TOPIC: names,
            SHARE: pa.array(shares.astype(np.float32)),
        }
    )


def pair_table(plan: Plan, day: PartDay, log: NumberedLog, part: int) -> pa.Table:
    """Pairs with an event in the longest window of a pair feature, and something other than absent values to say."""
    features = plan.features_of("pair")
    days = max((plan.windows[feature.window] for feature in features if feature.window), default=1)
    seen = log.present(log.pair, len(log.pair_keys), day.target, days)
    row = np.full(len(log.pair_keys), NONE, np.int64)
    row[seen] = np.arange(len(seen))
    users, sources = log.pair_users[seen], log.pair_sources[seen]
    friends = day.social.friends_subscribed(day.friends, users, sources) if day.social else np.zeros(len(seen))
    frame = Frame(
        log.cells, row[log.pair], len(seen), day.target.day, plan.windows, columns={frames.FRIENDS_SUBSCRIBED: friends}
    )
    table = feature_table({c.USER_ID: users, c.SOURCE_ID: sources, c.PART: _constant(part, len(seen))}, features, frame)
    return table.filter(pa.array(_says_something(table, features)))


def feature_table(keys: dict[str, NDArray[np.integer]], features: tuple[Feature, ...], frame: Frame) -> pa.Table:
    """Keys and the float32 columns of some features."""
    return pa.table({**keys, **{feature.name: feature.compute(frame) for feature in features}})


def _says_something(table: pa.Table, features: tuple[Feature, ...]) -> NDArray[np.bool_]:
    said = np.zeros(table.num_rows, bool)
    for feature in features:
        said |= table[feature.name].to_numpy() != np.float32(feature.absent)
    return said


def _constant(value: int, count: int) -> NDArray[np.int32]:
    return np.full(count, value, np.int32)
