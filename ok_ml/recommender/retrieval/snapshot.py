"""What the network looked like at the end of one day: sources, subscriptions, and the users of a part."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ok_ml import columns as c
from ok_ml.errors import DataError
from ok_ml.lake import Lake
from ok_ml.places import place_of
from ok_ml.recommender.ids import SourceSets, require_int32
from ok_ml.recommender.retrieval.activity import SourceWeights

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Catalogue:
    """Sources that may be recommended; their dense index is the place in `source_ids`.

    Attributes
    ----------
    source_ids
        int64 [m], ascending.
    topics
        Topic of each source, or None.
    """

    source_ids: NDArray[np.int64]
    topics: tuple[str | None, ...]

    @classmethod
    def load(cls, lake: Lake, dataset_scope: str, dt: str) -> "Catalogue":
        """The sources of the snapshot of `dt`."""
        rows = lake.read(dataset_scope, c.SOURCES, [dt]).sort_by(c.SOURCE_ID)
        ids = rows[c.SOURCE_ID].to_numpy()
        require_int32(len(ids), "sources")
        if not len(ids) or not (np.diff(ids) > 0).all():
            raise DataError(
                f"{dataset_scope}/{c.SOURCES} of {dt} has {len(ids)} rows, {len(np.unique(ids))} different sources",
                why="every recommendation is one row of this table",
                remedy=f"ingest the sources of {dt} again",
            )
        topics = rows[c.TOPIC].to_pylist() if c.TOPIC in rows.column_names else [None] * len(ids)
        return cls(ids, tuple(topics))

    @property
    def size(self) -> int:
        """Number of sources m."""
        return len(self.source_ids)

    def index(self, source_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Dense index of each source; -1 for one that is not in the catalogue."""
        return place_of(self.source_ids, source_ids)


@dataclass(frozen=True)
class Subscriptions:
    """Sources that each user is subscribed to, of all users with a subscription.

    Attributes
    ----------
    user_ids
        int64 [n], ascending.
    sources
        Sets of catalogue indices, row by row as `user_ids`.
    """

    user_ids: NDArray[np.int64]
    sources: SourceSets
    catalogue_size: int

    @classmethod
    def load(cls, lake: Lake, dataset_scope: str, dt: str, catalogue: Catalogue) -> "Subscriptions":
        """The snapshot of `dt`; subscriptions to sources outside the catalogue are left out."""
        rows = lake.read(dataset_scope, c.SUBSCRIPTIONS, [dt], columns=[c.USER_ID, c.SOURCE_ID])
        user_ids, users = np.unique(rows[c.USER_ID].to_numpy(), return_inverse=True)
        sets = SourceSets.from_pairs(users, catalogue.index(rows[c.SOURCE_ID].to_numpy()), len(user_ids))
        return cls(user_ids, sets, catalogue.size)

    def of(self, user_ids: NDArray[np.int64]) -> SourceSets:
        """The subscriptions of some users, in their order."""
        return self.sources.take(place_of(self.user_ids, user_ids))

    @cached_property
    def matrix(self) -> Any:
        """Scipy CSR int32 [n, m] of ones."""
        from scipy.sparse import csr_matrix

        ones = np.ones(len(self.sources.indices), np.int32)
        shape = (len(self.user_ids), self.catalogue_size)
        return csr_matrix((ones, self.sources.indices, self.sources.indptr), shape=shape)


@dataclass(frozen=True)
class PartUsers:
    """The users of one part.

    Attributes
    ----------
    user_ids
        int64 [n], ascending.
    segments
        Segment of each user, or None.
    friends
        Scipy CSR int32 [n, all users with a subscription]: 1 where they are friends.
    """

    user_ids: NDArray[np.int64]
    segments: tuple[str | None, ...]
    friends: Any

    @classmethod
    def load(cls, lake: Lake, dataset_scope: str, dt: str, part: int, subscriptions: Subscriptions) -> "PartUsers":
        """Everybody registered by the end of `dt` whose id falls into `part`."""
        rows = lake.read(dataset_scope, c.USERS, [dt], part=part).sort_by(c.USER_ID)
        ids = rows[c.USER_ID].to_numpy()
        names = rows[c.SEGMENT].to_pylist() if c.SEGMENT in rows.column_names else [None] * len(ids)
        return cls(ids, tuple(names), _friends(lake, dataset_scope, dt, part, ids, subscriptions))

    def friends_subscribed(self, rows: NDArray[np.int64], subscriptions: Subscriptions) -> SourceWeights:
        """How many friends of some users are subscribed to each source."""
        return SourceWeights.of(self.friends[rows] @ subscriptions.matrix)


def _friends(
    lake: Lake, dataset_scope: str, dt: str, part: int, user_ids: NDArray[np.int64], subscriptions: Subscriptions
) -> Any:
    from scipy.sparse import csr_matrix

    rows: pa.Table | None = None
    if lake.find(dataset_scope, c.FRIENDS, dt) is not None:
        rows = lake.read(dataset_scope, c.FRIENDS, [dt], columns=[c.USER_ID, c.FRIEND_ID], part=part)
    ids = rows[c.USER_ID].to_numpy() if rows is not None else np.zeros(0, np.int64)
    friends = rows[c.FRIEND_ID].to_numpy() if rows is not None else np.zeros(0, np.int64)
    sets = SourceSets.from_pairs(place_of(user_ids, ids), place_of(subscriptions.user_ids, friends), len(user_ids))
    ones = np.ones(len(sets.indices), np.int32)
    return csr_matrix((ones, sets.indices, sets.indptr), shape=(len(user_ids), len(subscriptions.user_ids)))
