"""Candidates of a user: by taste (embeddings), by neighbours, by friends' subscriptions, by popularity; minus subscriptions."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ok_ml import columns as c
from ok_ml.places import place_of
from ok_ml.recommender.ids import UNKNOWN, SourceSets
from ok_ml.recommender.retrieval.activity import SourceWeights
from ok_ml.recommender.retrieval.exact_retrieval import Retriever
from ok_ml.recommender.retrieval.fitted import Fitted
from ok_ml.recommender.retrieval.neighbours import CatalogueNeighbours
from ok_ml.recommender.retrieval.popularity import EVERYBODY, Popularity
from ok_ml.recommender.retrieval.snapshot import Catalogue
from ok_ml.recommender.vectors.embeddings import Factors

FRIENDS_SHARE: Final = 0.2  # of the candidates, at most, before what is left is filled
POPULAR_SHARE: Final = 0.1
RECENT_SHARE: Final = 0.05
NEIGHBOURS_SHARE: Final = 0.15  # of each model of the neighbours
ALS: Final = "als"  # the embeddings, beside the names of the neighbours' models
Pool = tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class UserBlock:
    """Some users of one part, and what is known of them.

    Attributes
    ----------
    user_ids
        int64 [n].
    factor_rows
        int64 [n]: row of each user's vector; -1 without history.
    segment_rows
        int64 [n]: row of the popularity orders.
    excluded
        Subscriptions, as sets of catalogue indices.
    friends
        How many friends are subscribed to each source.
    met, friends_met
        What each user met lately, and what their friends did, added up.
    """

    user_ids: NDArray[np.int64]
    factor_rows: NDArray[np.int64]
    segment_rows: NDArray[np.int64]
    excluded: SourceSets
    friends: SourceWeights
    met: SourceWeights
    friends_met: SourceWeights

    @property
    def size(self) -> int:
        """Number of users n."""
        return len(self.user_ids)


@dataclass(frozen=True)
class Candidates:
    """Candidates of a block of users.

    Attributes
    ----------
    sources
        int32 [n, width] catalogue indices, padded with -1.
    reasons
        int8 [n, width]: which pool named it first, a REASON_* of columns.
    best_scores
        Model -> float64 [n]: its highest score among sources not subscribed to, 0 without one; ALS and the models of the
        neighbours.
    """

    sources: NDArray[np.int32]
    reasons: NDArray[np.int8]
    best_scores: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class CandidateIndex:
    """Everything of one cut that candidates come from, for all parts."""

    catalogue: Catalogue
    fitted: Fitted

    @property
    def factors(self) -> Factors:
        """The vectors."""
        return self.fitted.factors

    @property
    def popularity(self) -> Popularity:
        """What is popular."""
        return self.fitted.popularity

    @cached_property
    def similar(self) -> CatalogueNeighbours:
        """The neighbours in indices of the catalogue."""
        return CatalogueNeighbours.of(self.fitted.neighbours, self.catalogue.source_ids)

    @cached_property
    def vectors(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Vectors float32 [v, factors], and the row of each catalogue source among them, int64 [m]; -1 without one.

        Cold start: a source without events takes the mean vector of its topic: only its attributes are known.
        """
        rows, fitted = self.factors.source_rows(self.catalogue.source_ids), np.asarray(self.factors.source_factors)
        names, topics = np.unique([topic or "" for topic in self.catalogue.topics], return_inverse=True)
        taught = (rows >= 0) & (names[topics] != "")
        cold = (rows < 0) & (names[topics] != "") & np.isin(topics, topics[taught])
        if not cold.any():
            return fitted, rows
        sums = np.zeros((len(names), self.factors.width))
        np.add.at(sums, topics[taught], fitted[rows[taught]])
        means = sums / np.bincount(topics[taught], minlength=len(names)).clip(min=1)[:, None]
        rows[cold] = len(fitted) + topics[cold]
        return np.concatenate((fitted, means.astype(np.float32))), rows

    @property
    def factor_rows(self) -> NDArray[np.int64]:
        """Row of each catalogue source in `vectors`, int64 [m]; -1 without one."""
        return self.vectors[1]

    @cached_property
    def unit_vectors(self) -> NDArray[np.float32]:
        """Vectors of the catalogue's sources at length 1, float32 [m, factors]: their products are cosines; 0 without one."""
        vectors, rows = self.vectors
        mine = np.where((rows >= 0)[:, None], vectors[rows], np.float32(0))
        lengths = np.sqrt((mine.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
        return (mine / np.where(lengths > 0, lengths, 1)).astype(np.float32)

    @cached_property
    def activity(self) -> Any:
        """What users met: scipy CSR float32 [users of the activity, m]."""
        return self.fitted.activity.by_catalogue(self.catalogue.source_ids)

    @cached_property
    def mean_met(self) -> float:
        """What the mean user met, in the unit of `activity`; 0 where no user met anything."""
        return float(self.activity.data.sum(dtype=np.float64) / max(self.activity.shape[0], 1))

    def activity_of(self, user_ids: NDArray[np.int64]) -> Any:
        """The same of some users, scipy CSR float32 [user_ids, m]; empty rows for those who met nothing."""
        from scipy.sparse import csr_matrix

        rows = place_of(self.fitted.activity.user_ids, user_ids)
        known = np.flatnonzero(rows != UNKNOWN)
        ones, shape = np.ones(len(known), np.float32), (len(user_ids), len(self.fitted.activity.user_ids))
        return csr_matrix((ones, (known, rows[known])), shape=shape) @ self.activity

    @cached_property
    def orders(self) -> NDArray[np.int32]:
        """Catalogue indices by falling popularity, int32 [1 + segments, m]."""
        return self.popularity.orders(self.catalogue.source_ids)

    @cached_property
    def recent_orders(self) -> NDArray[np.int32]:
        """The same by what is hot just now."""
        return self.fitted.recent.orders(self.catalogue.source_ids)

    @cached_property
    def all_time_orders(self) -> NDArray[np.int32]:
        """The same by popularity in the whole window."""
        return self.fitted.all_time.orders(self.catalogue.source_ids)

    @cached_property
    def popularity_rank(self) -> NDArray[np.int64]:
        """Rank of each catalogue source among all users, int64 [m], 0 = most popular."""
        return _ranks(self.orders[EVERYBODY])

    @cached_property
    def recent_rank(self) -> NDArray[np.int64]:
        """The same by what is hot just now."""
        return _ranks(self.recent_orders[EVERYBODY])

    @cached_property
    def _with_vector(self) -> NDArray[np.int32]:
        return np.flatnonzero(self.factor_rows >= 0).astype(np.int32)

    @cached_property
    def _retriever(self) -> Retriever:
        return Retriever(np.ascontiguousarray(self.vectors[0][self.factor_rows[self._with_vector]]))

    def by_taste(self, block: UserBlock, k: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Exact top-k by the embeddings: catalogue indices int32 [n, k] padded with -1, scores float64 [n, k]."""
        rows = np.full((block.size, k), UNKNOWN, np.int32)
        scores = np.full((block.size, k), -np.inf)
        known = np.flatnonzero(block.factor_rows >= 0)
        if not len(known) or not len(self._with_vector):
            return rows, scores
        local = np.full(self.catalogue.size, UNKNOWN, np.int32)
        local[self._with_vector] = np.arange(len(self._with_vector), dtype=np.int32)
        mine = block.excluded.take(known)
        barred = SourceSets.from_pairs(mine.rows, local[mine.indices].astype(np.int64), len(known))
        vectors = self.factors.user_factors[block.factor_rows[known]]
        top, scores[known] = self._retriever.top_k(vectors, barred, k)
        rows[known] = np.where(top == UNKNOWN, UNKNOWN, self._with_vector[top])
        return rows, scores

    def by_friends(self, block: UserBlock) -> SourceSets:
        """Sources of friends, most friends first, ties by popularity: rows are lists here, not ascending sets."""
        sets, ranks = block.friends.sources, self.popularity_rank
        order = np.lexsort((ranks[sets.indices], -block.friends.weights, sets.rows))
        return SourceSets(sets.indptr, sets.indices[order])

    def candidates(self, block: UserBlock, count: int) -> Candidates:
        """At most `count` candidates of each user, the same whatever the block.

        A first round takes each pool's quota in the order taste, neighbours, friends, popular, hot just now; a second one fills what is
        left in the same order. A source belongs to the pool that named it first.
        """
        from ok_ml.recommender.retrieval.candidates_kernel import fill

        retrieved = {ALS: self.by_taste(block, count)}
        retrieved |= {
            name: self.similar.top_k(name, block.user_ids, block.excluded, count) for name in self.similar.models
        }
        pools = self._pools(block, {name: rows for name, (rows, _) in retrieved.items()})
        taken = np.zeros((block.size, self.catalogue.size), np.bool_)
        taken[block.excluded.rows, block.excluded.indices] = True
        sources = np.full((block.size, count), UNKNOWN, np.int32)
        reasons, sizes = np.zeros((block.size, count), np.int8), np.zeros(block.size, np.int64)
        for limits in (quotas(count, len(self.similar.models)), [count] * len(pools)):
            for (reason, pool), limit in zip(pools, limits, strict=True):
                fill(pool, limit, reason, taken, sources, reasons, sizes)
        return Candidates(sources, reasons, {name: _best(scores) for name, (_, scores) in retrieved.items()})

    def _pools(self, block: UserBlock, retrieved: Mapping[str, NDArray[np.int32]]) -> list[tuple[int, Pool]]:
        """Reason, and values, begins and ends of each pool, in the order in which they are asked."""
        friends = self.by_friends(block)
        pools = [
            (c.REASON_TASTE if name == ALS else c.REASON_SIMILAR, _lists_pool(rows)) for name, rows in retrieved.items()
        ]
        pools.append((c.REASON_FRIENDS, (friends.indices, friends.indptr[:-1].copy(), friends.indptr[1:])))
        begin, end = np.zeros(block.size, np.int64), np.full(block.size, self.catalogue.size)
        popular = (self.orders[EVERYBODY], self.recent_orders[EVERYBODY])
        return [*pools, *((c.REASON_POPULAR, (order, begin.copy(), end)) for order in popular)]

    def fallback(
        self, block: UserBlock, rows: NDArray[np.int64], count: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
        """Lists of users without history, by what is known of them: what friends are subscribed to, most friends first,
        and then what is popular in their segment.

        Returns
        -------
        Sources int32 [rows, count] padded with -1, and their reasons int8.
        """
        from ok_ml.recommender.retrieval.candidates_kernel import fill

        friends, orders = self.by_friends(block), self.orders
        sources = np.full((len(rows), count), UNKNOWN, np.int32)
        reasons, sizes = np.full((len(rows), count), c.REASON_FALLBACK, np.int8), np.zeros(len(rows), np.int64)
        barred, begins = block.excluded.take(rows), block.segment_rows[rows] * self.catalogue.size
        taken = np.zeros((len(rows), self.catalogue.size), np.bool_)
        taken[barred.rows, barred.indices] = True
        known = (friends.indices, friends.indptr[:-1][rows], friends.indptr[1:][rows])
        fill(known, count // 2, c.REASON_FRIENDS, taken, sources, reasons, sizes)
        fill(
            (orders.ravel(), begins, begins + self.catalogue.size),
            count,
            c.REASON_FALLBACK,
            taken,
            sources,
            reasons,
            sizes,
        )
        return sources, reasons


def _ranks(order: NDArray[np.int32]) -> NDArray[np.int64]:
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def quotas(count: int, neighbour_models: int) -> list[int]:
    """First-round limits: taste, each model of the neighbours, friends, popular, hot just now."""
    similar = [int(count * NEIGHBOURS_SHARE)] * neighbour_models
    others = [*similar, int(count * FRIENDS_SHARE), int(count * POPULAR_SHARE), int(count * RECENT_SHARE)]
    return [count - sum(others), *others]


def _lists_pool(rows: NDArray[np.int32]) -> Pool:
    ends = np.arange(1, len(rows) + 1) * rows.shape[1]
    return rows.ravel(), ends - rows.shape[1], ends


def _best(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    best = scores[:, 0] if scores.shape[1] else np.zeros(len(scores))
    return np.where(np.isfinite(best), best, 0.0)


def take_allowed(
    orders: NDArray[np.int32], order_rows: NDArray[np.int64], excluded: SourceSets, count: int
) -> NDArray[np.int32]:
    """The first `count` of orders[order_rows[i]] that user i may see, int32 [n, count] padded with -1."""
    from ok_ml.recommender.retrieval.candidates_kernel import take

    lists = np.full((len(order_rows), count), UNKNOWN, np.int32)
    take(orders, order_rows.astype(np.int64), excluded.indptr, excluded.indices, lists)
    return lists
