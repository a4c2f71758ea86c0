"""Metrics of ranked lists, user by user, as arrays.

With `hits_i` = 1 if the source at rank i (from 1) has a grade above 0 (Järvelin and Kekäläinen 2002 for the DCG)::

    recall@k   = hits in the first k / min(k, relevant sources of the user)
    ndcg@k     = DCG@k / DCG@k of the best possible list,  DCG@k = sum over i <= k of (2^grade_i - 1) / log2(i + 1)
    hit_rate@k = 1 if there is a hit in the first k, else 0
    coverage@k = share of the catalogue that is in the first k of at least one user
    diversity@k = 1 - mean cosine of the pairs among the first k, over the lists with a pair: how unlike a list's sources are
                 (1 - the intra-list similarity of Ziegler et al. 2005), by the cosine that re-ranking uses, too

Users without a relevant source have no recall and no ndcg: NaN.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ok_ml.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

EMPTY = -1  # pads a list that is shorter than k


@dataclass(frozen=True)
class Relevance:
    """What each user really liked: a sparse matrix of grades, row by row.

    Attributes
    ----------
    indptr
        int64 [n + 1]: user i owns the entries indptr[i] .. indptr[i + 1].
    source_ids
        int64 [entries], ascending and without repeats inside a user.
    grades
        int [entries], at least 0; 0 is not relevant.
    """

    indptr: "NDArray[np.int64]"
    source_ids: "NDArray[np.int64]"
    grades: "NDArray[np.int64]"

    def __post_init__(self) -> None:
        same_user = np.diff(self.user_rows) == 0
        if len(self.source_ids) and np.any(np.diff(self.source_ids)[same_user] <= 0):
            raise DataError(
                "source_ids of Relevance do not ascend inside a user",
                why="lookups are binary searches",
                remedy="build it with Relevance.from_rows",
            )

    @classmethod
    def from_rows(
        cls, user_rows: "NDArray[np.int64]", source_ids: "NDArray[np.int64]", grades: "NDArray[np.int64]", users: int
    ) -> "Relevance":
        """From one row a user and source, in any order; `user_rows` are row numbers 0 .. users - 1 of the lists."""
        order = np.lexsort((source_ids, user_rows))
        indptr = np.concatenate(([0], np.cumsum(np.bincount(user_rows, minlength=users))))
        return cls(indptr.astype(np.int64), source_ids[order].astype(np.int64), grades[order].astype(np.int64))

    @property
    def users(self) -> int:
        """Number of users n."""
        return len(self.indptr) - 1

    @property
    def user_rows(self) -> "NDArray[np.int64]":
        """Row of each entry, int64 [entries]."""
        return np.repeat(np.arange(self.users), np.diff(self.indptr))

    def of_users(self, rows: "NDArray[np.int64]") -> "Relevance":
        """Some of the users, in the order of `rows`, int64."""
        sizes = np.diff(self.indptr)[rows]
        indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        entries = np.arange(indptr[-1]) - np.repeat(indptr[:-1] - self.indptr[rows], sizes)
        return Relevance(indptr, self.source_ids[entries], self.grades[entries])

    def only(self, chosen: "NDArray[np.bool_]") -> "Relevance":
        """Some of the entries, of the same users; `chosen` is bool [entries]."""
        counts = np.bincount(self.user_rows[chosen], minlength=self.users)
        indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        return Relevance(indptr, self.source_ids[chosen], self.grades[chosen])

    def relevant(self) -> "NDArray[np.int64]":
        """Relevant sources of each user, int64 [n]."""
        return np.bincount(self.user_rows[self.grades > 0], minlength=self.users).astype(np.int64)

    def grades_of(self, lists: "NDArray[np.int64]") -> "NDArray[np.int64]":
        """The grade of every recommended source, int64 [n, k]; 0 where the user has none.

        Ids become dense, so that (user, source) is one ascending int64 key and one binary search finds them all.
        """
        if not len(self.source_ids):
            return np.zeros(lists.shape, np.int64)
        known, dense = np.unique(self.source_ids, return_inverse=True)
        keys = self.user_rows * len(known) + dense
        column = np.searchsorted(known, lists).clip(max=len(known) - 1)
        wanted = np.arange(len(lists))[:, None] * len(known) + column
        place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
        return np.where((keys[place] == wanted) & (known[column] == lists), self.grades[place], 0)

    def best_lists(self, k: int) -> "NDArray[np.int64]":
        """The best possible lists, int64 [n, k]: own sources by falling grade, ties by id, padded with -1."""
        keep = self.grades > 0
        users, sources, grades = self.user_rows[keep], self.source_ids[keep], self.grades[keep]
        order = np.lexsort((sources, -grades, users))
        users, sources = users[order], sources[order]
        starts = np.concatenate(([0], np.cumsum(np.bincount(users, minlength=self.users))))
        rank = np.arange(len(users)) - starts[users]
        lists = np.full((self.users, k), EMPTY, np.int64)
        lists[users[rank < k], rank[rank < k]] = sources[rank < k]
        return lists


def user_metrics(
    lists: "NDArray[np.int64]", relevance: Relevance, ks: tuple[int, ...] = (10, 50)
) -> "Mapping[str, NDArray[np.float64]]":
    """recall@k, ndcg@k and hit_rate@k of every user for every k.

    Parameters
    ----------
    lists
        int64 [n, >= max(ks)], best first, padded at the end with -1. A shorter list counts as padded.
    relevance
        Of the same n users, in the same order.
    ks
        Depths.

    Returns
    -------
    Mapping
        "recall@10" -> float64 [n], NaN for a user without a relevant source.

    Raises
    ------
    DataError
        Other users than those of `relevance`, or a list that names a source twice.
    """
    _validate(lists, relevance)
    relevant = relevance.relevant()
    grades = relevance.grades_of(lists[:, : max(ks)])
    best = relevance.grades_of(relevance.best_lists(max(ks)))
    unknown = np.where(relevant > 0, 1.0, np.nan)
    metrics: dict[str, NDArray[np.float64]] = {}
    for k in ks:
        hits = (grades[:, :k] > 0).sum(axis=1)
        metrics[f"recall@{k}"] = hits / np.minimum(relevant, k).clip(min=1) * unknown
        metrics[f"ndcg@{k}"] = _dcg(grades[:, :k]) / np.where(relevant > 0, _dcg(best[:, :k]), 1.0) * unknown
        metrics[f"hit_rate@{k}"] = (hits > 0) * unknown
    return metrics


def coverage(lists: "NDArray[np.int64]", k: int, catalogue_size: int) -> float:
    """Share of the catalogue that is among the first `k` of at least one user, 0 .. 1."""
    shown = np.unique(lists[:, :k])
    return float((shown != EMPTY).sum() / catalogue_size) if catalogue_size else 0.0


def diversity(rows: "NDArray[np.int64]", units: "NDArray[np.float32]") -> float:
    """diversity@k of some lists; NaN where none of them has two sources with a vector.

    Parameters
    ----------
    rows
        int64 [n, k]: row of each source in `units`, negative for padding and sources without a vector.
    units
        float32 [m, f]: vectors of length 1, so that the pairs' sum is (|sum of them|^2 - how many) / 2.
    """
    known = rows >= 0
    counts = known.sum(axis=1).astype(np.float64)
    sums = np.zeros((len(rows), units.shape[1]))
    for place in range(rows.shape[1]):
        sums += np.where(known[:, place, None], units[rows[:, place]], 0)
    pairs = counts * (counts - 1)
    cosines = ((sums**2).sum(axis=1) - counts)[pairs > 0] / pairs[pairs > 0]
    return float(1 - cosines.mean()) if len(cosines) else math.nan


def _dcg(grades: "NDArray[np.int64]") -> "NDArray[np.float64]":
    discounts = 1.0 / np.log2(np.arange(2, grades.shape[1] + 2))
    gains: NDArray[np.float64] = ((np.exp2(grades) - 1.0) * discounts).sum(axis=1)  # no BLAS: one order of adding
    return gains


def _validate(lists: "NDArray[np.int64]", relevance: Relevance) -> None:
    if lists.ndim != 2 or len(lists) != relevance.users:
        raise DataError(
            f"lists of shape {lists.shape} for {relevance.users} users of the relevance",
            why="each user would be judged by another user's taste",
            remedy="pass one row a user, in the same order",
        )
    ordered = np.sort(lists, axis=1)
    repeated = np.any((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != EMPTY), axis=1)
    if repeated.any():
        raise DataError(
            f"{int(repeated.sum())} of {len(lists)} lists name a source twice, the first one in row {int(np.argmax(repeated))}",
            why="a hit would count twice",
            remedy="remove repeats where the lists are made",
        )
