"""What users really did: the highest grade of each (user, source) over some days."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ok_ml import columns as c
from ok_ml.lake import Lake
from ok_ml.places import place_of
from ok_ml.recommender.retrieval.snapshot import Catalogue, Subscriptions
from ok_ml.recommender.vectors.interactions import pair_starts, parts_of, read_events


@dataclass(frozen=True)
class GradedPairs:
    """Pairs with a grade, ordered by user and source, one row a pair.

    Attributes
    ----------
    user_ids, source_ids
        int64 [pairs].
    grades
        int8 [pairs], above 0.
    """

    user_ids: NDArray[np.int64]
    source_ids: NDArray[np.int64]
    grades: NDArray[np.int8]

    def only(self, kept: NDArray[np.bool_]) -> "GradedPairs":
        """The rows where `kept` is true."""
        return GradedPairs(self.user_ids[kept], self.source_ids[kept], self.grades[kept])


def graded_pairs(
    lake: Lake, dataset_scope: str, dts: Sequence[str], grades: Mapping[str, int], part: int
) -> GradedPairs:
    """The highest grade of each pair of one part over the partitions `dts`, pairs without a grade left out."""
    positive = {name: grade for name, grade in grades.items() if grade > 0}
    by_type = np.array(list(positive.values()), np.int8)
    days = list(read_events(lake, dataset_scope, dts, list(positive), part))
    users = np.concatenate([day.user_ids for day in days])
    sources = np.concatenate([day.source_ids for day in days])
    values = np.concatenate([by_type[day.types] for day in days])
    order = np.lexsort((values, sources, users))
    users, sources, values = users[order], sources[order], values[order]
    starts = pair_starts(users, sources)
    highest = np.append(starts[1:], len(users)) - 1 if len(starts) else starts
    return GradedPairs(users[starts], sources[starts], values[highest].astype(np.int8))


def not_subscribed(pairs: GradedPairs, catalogue: Catalogue, subscriptions: Subscriptions) -> GradedPairs:
    """The pairs whose source is in the catalogue and not among the user's subscriptions at the cut."""
    sources = catalogue.index(pairs.source_ids)
    users = place_of(subscriptions.user_ids, pairs.user_ids)
    barred = subscriptions.sources
    known = barred.rows * catalogue.size + barred.indices
    places = place_of(known, users * catalogue.size + sources)
    return pairs.only((sources >= 0) & ((users < 0) | (places < 0)))


@dataclass(frozen=True)
class UserRelevance:
    """Graded sources of users: CSR by user.

    Attributes
    ----------
    user_ids
        int64 [n], ascending: users with at least one source of a grade above 0.
    indptr
        int64 [n + 1]: user i owns the entries indptr[i] .. indptr[i + 1].
    source_ids, grades
        int64 [entries], ascending inside a user; int64 [entries], above 0.
    """

    user_ids: NDArray[np.int64]
    indptr: NDArray[np.int64]
    source_ids: NDArray[np.int64]
    grades: NDArray[np.int64]


def relevance(
    lake: Lake, dataset_scope: str, dts: Sequence[str], grades: Mapping[str, int], cut_dt: str
) -> UserRelevance:
    """What users liked on the days `dts` among sources that they were not subscribed to at the end of `cut_dt`.

    Parameters
    ----------
    dts
        Evaluation partitions, all after `cut_dt`.
    grades
        event type -> relevance grade.
    """
    catalogue = Catalogue.load(lake, dataset_scope, cut_dt)
    subscriptions = Subscriptions.load(lake, dataset_scope, cut_dt, catalogue)
    kept = []
    for part in parts_of(lake, dataset_scope, c.EVENTS, dts):
        pairs = graded_pairs(lake, dataset_scope, dts, grades, part)
        kept.append(not_subscribed(pairs, catalogue, subscriptions))
    users, sources, values = (
        np.concatenate([getattr(pairs, name) for pairs in kept]) for name in ("user_ids", "source_ids", "grades")
    )
    order = np.lexsort((sources, users))
    user_ids, counts = np.unique(users, return_counts=True)
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return UserRelevance(user_ids, indptr, sources[order], values[order].astype(np.int64))
