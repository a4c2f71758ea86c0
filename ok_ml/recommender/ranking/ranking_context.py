"""Everything that ranking needs as of one day: loaded once for all parts, then part by part, block by block."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ok_ml.lake import Lake
from ok_ml.recommender.ranking.gather import FeatureLayout, FeatureStore, SourceTable
from ok_ml.recommender.retrieval.activity import SourceWeights
from ok_ml.recommender.retrieval.candidates import CandidateIndex, UserBlock
from ok_ml.recommender.retrieval.fitted import Fitted
from ok_ml.recommender.retrieval.snapshot import Catalogue, PartUsers, Subscriptions

USERS_PER_BLOCK: Final = 512  # bounds memory: 512 x 200 candidates x 50 features x 4 bytes = 20 MB


@dataclass(frozen=True)
class Tables:
    """Where the tables of an experiment are: its own scope and its dataset's."""

    lake: Lake
    dataset_scope: str
    scope: str


@dataclass(frozen=True)
class Cut:
    """One day as all parts see it: its catalogue, subscriptions, popularity and vectors fitted up to it or before.

    Attributes
    ----------
    dt
        Snapshots and features are those of the end of this day.
    """

    tables: Tables
    dt: str
    layout: FeatureLayout
    index: CandidateIndex
    subscriptions: Subscriptions
    sources: SourceTable

    @classmethod
    def load(cls, tables: Tables, dt: str, *, fitted: Fitted, layout: FeatureLayout) -> "Cut":
        """Read what the parts share."""
        catalogue = Catalogue.load(tables.lake, tables.dataset_scope, dt)
        subscriptions = Subscriptions.load(tables.lake, tables.dataset_scope, dt, catalogue)
        sources = SourceTable.load(tables.lake, tables.scope, dt, layout, catalogue)
        return cls(tables, dt, layout, CandidateIndex(catalogue, fitted), subscriptions, sources)

    @cached_property
    def activity_of_subscribers(self) -> Any:
        """What the users with a subscription met, in their order: scipy CSR float32 [subscribers, catalogue]."""
        return self.index.activity_of(self.subscriptions.user_ids)

    def part(self, part: int) -> "CutPart":
        """Read the users and features of one part."""
        users = PartUsers.load(self.tables.lake, self.tables.dataset_scope, self.dt, part, self.subscriptions)
        store = FeatureStore.load(
            self.tables.lake, self.tables.scope, self.dt, part, self.layout, self.index, self.sources
        )
        return CutPart(self, part, users, store)


@dataclass(frozen=True)
class CutPart:
    """The users of one part as of the cut's day."""

    cut: Cut
    part: int
    users: PartUsers
    store: FeatureStore

    def block(self, rows: NDArray[np.int64]) -> UserBlock:
        """Some users, given by their places in `users.user_ids`."""
        ids = self.users.user_ids[rows]
        index, subscriptions = self.cut.index, self.cut.subscriptions
        segments = index.popularity.segment_rows([self.users.segments[row] for row in rows])
        friends = self.users.friends_subscribed(rows, subscriptions)
        met = SourceWeights.of(index.activity_of(ids))
        friends_met = SourceWeights.of(self.users.friends[rows] @ self.cut.activity_of_subscribers)
        return UserBlock(ids, index.factors.user_rows(ids), segments, subscriptions.of(ids), friends, met, friends_met)

    def relative_met(self, block: UserBlock) -> NDArray[np.float64]:
        """What each user of a block met lately, float64 [n], 1 for as much as the mean user of the day."""
        return block.met.totals / (self.cut.index.mean_met or 1.0)

    def blocks(self, rows: NDArray[np.int64], size: int = USERS_PER_BLOCK) -> Iterator[UserBlock]:
        """Blocks of at most `size` users, in order."""
        for begin in range(0, len(rows), size):
            yield self.block(rows[begin : begin + size])
