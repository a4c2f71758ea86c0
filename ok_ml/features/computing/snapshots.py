"""Dated snapshots as plain arrays: who and what existed at the end of a day."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ok_ml import columns as c
from ok_ml.features.computing.plan import read_files
from ok_ml.features.history.event_log import NONE
from ok_ml.places import place_of

Ids: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Dated:
    """Entities of a snapshot.

    Attributes
    ----------
    ids
        int64 [n], ascending.
    since_day
        float64 [n]: day of registration or creation, days since 1970-01-01; NaN where unknown.
    """

    ids: Ids
    since_day: NDArray[np.float64]

    def since(self, ids: Ids) -> NDArray[np.float64]:
        """`since_day` of some ids; NaN for one that is not in the snapshot."""
        return np.append(self.since_day, np.nan)[place_of(self.ids, ids)]


@dataclass(frozen=True)
class SourceSnapshot(Dated):
    """Sources and their topics.

    Attributes
    ----------
    topic
        int64 [n]: place in `topics`; -1 without one.
    topics
        Names, ascending.
    """

    topic: Ids
    topics: tuple[str, ...]

    def topic_of(self, ids: Ids) -> Ids:
        """Topic of some sources; -1 for one without a topic or outside the snapshot."""
        return np.append(self.topic, NONE)[place_of(self.ids, ids)]


@dataclass(frozen=True)
class Links:
    """Pairs of users with sources or with friends.

    Attributes
    ----------
    user_ids, other_ids
        int64 [n], ascending by (user, other), each pair once.
    """

    user_ids: Ids
    other_ids: Ids

    def count(self, ids: Ids) -> NDArray[np.float64]:
        """Number of links of some users."""
        bounds = np.searchsorted(self.user_ids, ids), np.searchsorted(self.user_ids, ids, side="right")
        return (bounds[1] - bounds[0]).astype(np.float64)


def read_users(files: Sequence[str]) -> Dated:
    """Users of a snapshot's files."""
    rows = read_files(files, {c.USER_ID: pa.int64(), c.REGISTERED_DT: pa.string()}).sort_by(c.USER_ID)
    return Dated(_ids(rows, c.USER_ID), _days(rows[c.REGISTERED_DT]))


def read_sources(files: Sequence[str]) -> SourceSnapshot:
    """Sources of a snapshot's files."""
    wanted = {c.SOURCE_ID: pa.int64(), c.CREATED_DT: pa.string(), c.TOPIC: pa.string()}
    rows = read_files(files, wanted).sort_by(c.SOURCE_ID)
    names = rows[c.TOPIC].to_pylist()
    topics = tuple(sorted({name for name in names if name is not None}))
    number = {name: i for i, name in enumerate(topics)}
    topic = np.array([NONE if name is None else number[name] for name in names], np.int64)
    return SourceSnapshot(_ids(rows, c.SOURCE_ID), _days(rows[c.CREATED_DT]), topic, topics)


def read_links(files: Sequence[str], other: str) -> Links:
    """Subscriptions (`other` = source_id) or friendships (`other` = friend_id) of a snapshot's files."""
    rows = read_files(files, {c.USER_ID: pa.int64(), other: pa.int64()})
    users, others = _ids(rows, c.USER_ID), _ids(rows, other)
    order = np.argsort(users, kind="stable")  # quick on what is sorted already, part by part
    users, others = users[order], others[order]
    same = users[1:] == users[:-1]
    if (same & (others[1:] <= others[:-1])).any():
        order = np.lexsort((others, users))
        users, others = users[order], others[order]
    first = np.ones(len(users), bool)
    first[1:] = (users[1:] != users[:-1]) | (others[1:] != others[:-1])
    return Links(users[first], others[first])


def _ids(rows: pa.Table, column: str) -> Ids:
    ids: Ids = rows[column].to_numpy()
    return ids


def _days(dates: pa.ChunkedArray) -> NDArray[np.float64]:
    days: NDArray[np.float64] = dates.cast(pa.date32()).cast(pa.int32()).cast(pa.float64()).to_numpy()
    return days
