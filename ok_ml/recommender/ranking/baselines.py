"""Ranked lists for the evaluation as of a cut: the model and what it has to beat."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ok_ml.hashing import part_of
from ok_ml.places import place_of
from ok_ml.recommender.ids import UNKNOWN
from ok_ml.recommender.ranking.rank_blocks import rank_block
from ok_ml.recommender.ranking.ranker import Ranker
from ok_ml.recommender.ranking.ranking_context import Cut, CutPart
from ok_ml.recommender.retrieval.candidates import UserBlock, take_allowed
from ok_ml.recommender.retrieval.neighbours import NEIGHBOUR_MODELS
from ok_ml.recommender.retrieval.popularity import EVERYBODY, Popularity

POPULARITY: Final = "popularity"
RECENT_POPULARITY: Final = "recent_popularity"
EMBEDDINGS_ALONE: Final = "embeddings"
TWO_STAGE: Final = "two_stage"
CANDIDATE_SOURCES: Final = (EMBEDDINGS_ALONE, *NEIGHBOUR_MODELS)  # each ranks alone as well

BlockLists = Callable[[CutPart, UserBlock], NDArray[np.int32]]


def popularity_lists(
    cut: Cut, parts: int, user_ids: NDArray[np.int64], k: int, popularity: Popularity
) -> NDArray[np.int64]:
    """The most popular sources that each user is not subscribed to; which popularity is the caller's choice."""
    orders = popularity.orders(cut.index.catalogue.source_ids)

    def lists(_part: CutPart, block: UserBlock) -> NDArray[np.int32]:
        return take_allowed(orders, np.full(block.size, EVERYBODY), block.excluded, k)

    return _lists(cut, parts, user_ids, k, lists)


def embedding_lists(cut: Cut, parts: int, user_ids: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Exact top-k of the embeddings minus subscriptions; users without a vector get the fallback list."""

    def lists(part: CutPart, block: UserBlock) -> NDArray[np.int32]:
        found, _ = part.cut.index.by_taste(block, k)
        cold = np.flatnonzero(block.factor_rows < 0)
        found[cold] = part.cut.index.fallback(block, cold, k)[0]
        return found

    return _lists(cut, parts, user_ids, k, lists)


def neighbour_lists(cut: Cut, parts: int, user_ids: NDArray[np.int64], k: int, model: str) -> NDArray[np.int64]:
    """Exact top-k of one model of the neighbours minus subscriptions, filled up with what is popular."""
    popular = cut.index.orders[EVERYBODY]

    def lists(_part: CutPart, block: UserBlock) -> NDArray[np.int32]:
        found, _ = cut.index.similar.top_k(model, block.user_ids, block.excluded, k)
        return _filled_up(found, popular, block, k)

    return _lists(cut, parts, user_ids, k, lists)


def _filled_up(lists: NDArray[np.int32], popular: NDArray[np.int32], block: UserBlock, k: int) -> NDArray[np.int32]:
    """Short lists continue with the most popular sources that they do not have."""
    for row in np.flatnonzero((lists == UNKNOWN).any(axis=1)):
        mine = lists[row][lists[row] != UNKNOWN]
        barred = block.excluded.indices[block.excluded.indptr[row] : block.excluded.indptr[row + 1]]
        head = popular[: k + len(barred) + len(mine)]
        rest = head[~np.isin(head, mine) & ~np.isin(head, barred)][: k - len(mine)]
        lists[row, len(mine) : len(mine) + len(rest)] = rest
    return lists


def two_stage_lists(
    cut: Cut, parts: int, user_ids: NDArray[np.int64], k: int, ranker: Ranker, candidates: int
) -> NDArray[np.int64]:
    """What scoring would serve: the code of `score_part`."""
    ranker.require_features(cut.layout.feature_order())

    def lists(part: CutPart, block: UserBlock) -> NDArray[np.int32]:
        return rank_block(part, block, ranker, candidates, k).sources

    return _lists(cut, parts, user_ids, k, lists)


def _lists(cut: Cut, parts: int, user_ids: NDArray[np.int64], k: int, of_block: BlockLists) -> NDArray[np.int64]:
    """int64 [users, k] source ids in the order of `user_ids`, padded with -1; users unknown at the cut get only padding."""
    lists = np.full((len(user_ids), k), UNKNOWN, np.int64)
    ids = np.append(cut.index.catalogue.source_ids, UNKNOWN)  # index -1 stays -1
    owner = part_of(user_ids, parts)
    for number in np.unique(owner):
        part = cut.part(int(number))
        mine = np.flatnonzero(owner == number)
        places = place_of(part.users.user_ids, user_ids[mine])
        known, places = mine[places >= 0], places[places >= 0]
        done = 0
        for block in part.blocks(places):
            lists[known[done : done + block.size]] = ids[of_block(part, block)]
            done += block.size
    return lists
