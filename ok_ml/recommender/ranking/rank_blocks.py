"""The second stage: candidates of a block of users, scored by the ranker, best first. Scoring and evaluation share it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ok_ml.recommender.ids import UNKNOWN
from ok_ml.recommender.ranking.ranker import Ranker
from ok_ml.recommender.ranking.ranking_context import CutPart
from ok_ml.recommender.retrieval.candidates import Candidates, UserBlock


@dataclass(frozen=True)
class RankedLists:
    """Lists of a block of users, best first.

    Attributes
    ----------
    sources
        int32 [n, top_n] catalogue indices, padded at the end with -1.
    scores
        float64 [n, top_n], falling; padded with -inf.
    reasons
        int8 [n, top_n], a REASON_* of columns.
    is_fallback
        bool [n]: the user had no history.
    """

    sources: NDArray[np.int32]
    scores: NDArray[np.float64]
    reasons: NDArray[np.int8]
    is_fallback: NDArray[np.bool_]


def rank_block(part: CutPart, block: UserBlock, ranker: Ranker, candidates: int, top_n: int) -> RankedLists:
    """The best `top_n` of `candidates` of each user; users without history get the fallback list.

    A fallback list's scores are 1 / (1 + rank): they order it and say nothing else.
    """
    index = part.cut.index
    pool = index.candidates(block, candidates)
    is_fallback = block.factor_rows < 0
    lists = _best(pool, _scores(part, block, ranker, pool, ~is_fallback), top_n)
    if ranker.reason is not None:
        lists.reasons[:] = ranker.reason
    cold = np.flatnonzero(is_fallback)
    sources, reasons = index.fallback(block, cold, top_n)
    lists.sources[cold] = sources
    lists.scores[cold] = np.where(sources == UNKNOWN, -np.inf, 1.0 / (1.0 + np.arange(top_n)))
    lists.reasons[cold] = reasons
    return RankedLists(lists.sources, lists.scores, lists.reasons, is_fallback)


def _scores(
    part: CutPart, block: UserBlock, ranker: Ranker, pool: Candidates, scored: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Score of each candidate, float64 [n, width]; -inf for padding and for users that are not scored."""
    scores = np.full(pool.sources.shape, -np.inf)
    users, columns = np.nonzero((pool.sources != UNKNOWN) & scored[:, None])
    features = part.store.gather(block, users, pool.sources[users, columns].astype(np.int64), pool.best_scores)
    scores[users, columns] = ranker.predict(features)
    return scores


def _best(pool: Candidates, scores: NDArray[np.float64], top_n: int) -> RankedLists:
    order = np.lexsort((pool.sources, -scores), axis=1)[:, :top_n]
    shape = (len(scores), top_n)
    lists = RankedLists(
        np.full(shape, UNKNOWN, np.int32),
        np.full(shape, -np.inf),
        np.zeros(shape, np.int8),
        np.zeros(len(scores), bool),
    )
    width = order.shape[1]
    lists.sources[:, :width] = np.take_along_axis(pool.sources, order, axis=1)
    lists.scores[:, :width] = np.take_along_axis(scores, order, axis=1)
    lists.reasons[:, :width] = np.take_along_axis(pool.reasons, order, axis=1)
    return lists
