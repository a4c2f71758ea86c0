"""Lists of a block of users, best first: by a ranker of candidates, or simply. Scoring and evaluation share it."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ok_ml import columns as c
from ok_ml.config.models import PredictionsStage
from ok_ml.places import place_of
from ok_ml.recommender.ids import UNKNOWN
from ok_ml.recommender.ranking.column_ranker import (
    BLEND,
    EMBEDDINGS_ALONE,
    OWN_PAST,
    POPULARITY,
    RECENT_POPULARITY,
    ColumnRanker,
)
from ok_ml.recommender.ranking.gather import blend_scores
from ok_ml.recommender.ranking.ranker import Ranker
from ok_ml.recommender.ranking.ranking_context import CutPart
from ok_ml.recommender.retrieval.candidates import Candidates, UserBlock, take_allowed
from ok_ml.recommender.retrieval.popularity import EVERYBODY

DIVERSE: Final = 10  # places at the head of a list that `diversity` orders


@dataclass(frozen=True)
class RankedLists:
    """Lists of a block of users, best first.

    Attributes
    ----------
    sources
        int32 [n, top_n] catalogue indices, padded at the end with -1.
    scores
        float64 [n, top_n], falling, with `diversity` only behind the first DIVERSE; padded with -inf.
    reasons
        int8 [n, top_n], a REASON_* of columns.
    is_fallback
        bool [n]: the user had no history.
    pool
        The candidates that they are the best of; None of lists that are made without.
    """

    sources: NDArray[np.int32]
    scores: NDArray[np.float64]
    reasons: NDArray[np.int8]
    is_fallback: NDArray[np.bool_]
    pool: Candidates | None = None

    def at(self, places: NDArray[np.int64]) -> "RankedLists":
        """Some places of each list, int64 [n, length], in this order."""
        rows = np.arange(len(places))[:, None]
        sources, scores, reasons = self.sources[rows, places], self.scores[rows, places], self.reasons[rows, places]
        return RankedLists(sources, scores, reasons, self.is_fallback, self.pool)


def rank_block(
    part: CutPart, block: UserBlock, ranker: Ranker, stage: PredictionsStage, length: int | None = None
) -> RankedLists:
    """The best of each user: of the candidates by a ranker, of all sources by a simple list.

    Users without history get the fallback list, unless what is popular is asked for; its scores are 1 / (1 + rank): they
    order it and say nothing else.

    Parameters
    ----------
    length
        Sources in a list; default: as many as are served. With `diversity` the first ones come from those that are served.
    """
    length = length or stage.top_n
    if not stage.diversity:
        return _ranked(part, block, ranker, stage.candidates, length)
    lists = _ranked(part, block, ranker, stage.candidates, max(length, stage.top_n))
    return lists.at(_diverse(part, lists, stage)[:, :length])


def _ranked(part: CutPart, block: UserBlock, ranker: Ranker, candidates: int, top_n: int) -> RankedLists:
    is_fallback = block.factor_rows < 0
    named = ranker.simple_list if isinstance(ranker, ColumnRanker) else ""
    if named in (POPULARITY, RECENT_POPULARITY):
        return _popular(part, block, named, top_n)
    if named == EMBEDDINGS_ALONE:
        lists = _by_taste(part, block, top_n)
    elif named == OWN_PAST:
        lists = _met(part, block, top_n)
    elif named in part.cut.index.similar.models:
        lists = _similar(part, block, named, top_n)
    else:
        pool = part.cut.index.candidates(block, candidates)
        lists = replace(_best(pool, _scores(part, block, ranker, pool, ~is_fallback), top_n), pool=pool)
        lists.is_fallback[:] = is_fallback
    cold = np.flatnonzero(is_fallback)
    sources, reasons = part.cut.index.fallback(block, cold, top_n)
    lists.sources[cold] = sources
    lists.scores[cold] = np.where(sources == UNKNOWN, -np.inf, 1.0 / (1.0 + np.arange(top_n)))
    lists.reasons[cold] = reasons
    return lists


def _diverse(part: CutPart, lists: RankedLists, stage: PredictionsStage) -> NDArray[np.int64]:
    """Places of each list, the first DIVERSE chosen among those that are served; lists of users without history stay."""
    from ok_ml.recommender.ranking.diversity_kernel import reorder

    users, width = lists.sources.shape
    places = np.tile(np.arange(width, dtype=np.int64), (users, 1))
    rows, head = np.flatnonzero(~lists.is_fallback), slice(None, stage.top_n)
    chosen = places[rows, head]
    units = part.cut.index.unit_vectors
    reorder(lists.sources[rows, head], lists.scores[rows, head], units, stage.diversity, DIVERSE, chosen)
    places[rows, head] = chosen
    return places


# -- by a ranker of candidates -------------------------------------------------------------------------------------


def _scores(
    part: CutPart, block: UserBlock, ranker: Ranker, pool: Candidates, scored: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Score of each candidate, float64 [n, width]; -inf for padding and for users that are not scored."""
    scores = np.full(pool.sources.shape, -np.inf)
    users, columns = np.nonzero((pool.sources != UNKNOWN) & scored[:, None])
    sources = pool.sources[users, columns].astype(np.int64)
    if isinstance(ranker, ColumnRanker) and ranker.simple_list == BLEND:
        scores[users, columns] = blend_scores(part.cut.index, block, users, sources, pool.best_scores)
    else:
        scores[users, columns] = ranker.predict(part.store.gather(block, users, sources, pool.best_scores))
    return scores


def _best(pool: Candidates, scores: NDArray[np.float64], top_n: int) -> RankedLists:
    order = np.lexsort((pool.sources, -scores), axis=1)[:, :top_n]
    lists = _empty(len(scores), top_n)
    width = order.shape[1]
    lists.sources[:, :width] = np.take_along_axis(pool.sources, order, axis=1)
    lists.scores[:, :width] = np.take_along_axis(scores, order, axis=1)
    lists.reasons[:, :width] = np.take_along_axis(pool.reasons, order, axis=1)
    return lists


# -- simply --------------------------------------------------------------------------------------------------------


def _popular(part: CutPart, block: UserBlock, named: str, top_n: int) -> RankedLists:
    """What is popular among all users, in the whole window or lately; scores fall from 0 to -1 with the rank."""
    index, lists = part.cut.index, _empty(block.size, top_n)
    recent = named == RECENT_POPULARITY
    orders = index.recent_orders if recent else index.all_time_orders
    lists.sources[:] = take_allowed(orders, np.full(block.size, EVERYBODY), block.excluded, top_n)
    ranks = np.empty(index.catalogue.size)
    ranks[orders[EVERYBODY]] = np.arange(index.catalogue.size)
    lists.scores[:] = np.where(lists.sources == UNKNOWN, -np.inf, -ranks[lists.sources] / index.catalogue.size)
    lists.reasons[:] = c.REASON_POPULAR
    lists.is_fallback[:] = block.factor_rows < 0
    return lists


def _by_taste(part: CutPart, block: UserBlock, top_n: int) -> RankedLists:
    """Exact best of the vectors."""
    sources, scores = part.cut.index.by_taste(block, top_n)
    return RankedLists(sources, scores, np.full(sources.shape, c.REASON_TASTE, np.int8), block.factor_rows < 0)


def _similar(part: CutPart, block: UserBlock, model: str, top_n: int) -> RankedLists:
    """Exact best of one model of the neighbours."""
    sources, scores = part.cut.index.similar.top_k(model, block.user_ids, block.excluded, top_n)
    return _filled_up(part, block, sources, scores, c.REASON_SIMILAR)


def _met(part: CutPart, block: UserBlock, top_n: int) -> RankedLists:
    """What the user met lately and did not subscribe to, most of it first."""
    size, own = part.cut.index.catalogue.size, block.met
    barred = place_of(
        block.excluded.rows * size + block.excluded.indices, own.sources.rows * size + own.sources.indices
    )
    free = np.flatnonzero(barred == UNKNOWN)
    rows, ids, weights = own.sources.rows[free], own.sources.indices[free], own.weights[free].astype(np.float64)
    order = np.lexsort((ids, -weights, rows))
    rows, ids, weights = rows[order], ids[order], weights[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    kept = place < top_n
    sources, scores = np.full((block.size, top_n), UNKNOWN, np.int32), np.full((block.size, top_n), -np.inf)
    sources[rows[kept], place[kept]], scores[rows[kept], place[kept]] = ids[kept], weights[kept]
    return _filled_up(part, block, sources, scores, c.REASON_TASTE)


def _filled_up(
    part: CutPart, block: UserBlock, sources: NDArray[np.int32], scores: NDArray[np.float64], reason: int
) -> RankedLists:
    """Lists with scores above 0; what is missing is what is popular, with scores from 0 to -1."""
    index, top_n = part.cut.index, sources.shape[1]
    reasons = np.full(sources.shape, reason, np.int8)
    popular = index.orders[EVERYBODY]
    for row in np.flatnonzero((sources == UNKNOWN).any(axis=1)):
        mine = sources[row][sources[row] != UNKNOWN]
        barred = block.excluded.indices[block.excluded.indptr[row] : block.excluded.indptr[row + 1]]
        head = popular[: top_n + len(barred) + len(mine)]
        rest = head[~np.isin(head, mine) & ~np.isin(head, barred)][: top_n - len(mine)]
        filled = slice(len(mine), len(mine) + len(rest))
        sources[row, filled], reasons[row, filled] = rest, c.REASON_POPULAR
        scores[row, filled] = -index.popularity_rank[rest] / index.catalogue.size
    return RankedLists(sources, scores, reasons, block.factor_rows < 0)


def _empty(users: int, top_n: int) -> RankedLists:
    shape = (users, top_n)
    return RankedLists(
        np.full(shape, UNKNOWN, np.int32), np.full(shape, -np.inf), np.zeros(shape, np.int8), np.zeros(users, bool)
    )
