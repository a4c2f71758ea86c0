"""Lists of some users as of a cut, for the evaluation: by the code that serves them."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ok_ml.config.models import PredictionsStage
from ok_ml.hashing import part_of
from ok_ml.places import place_of
from ok_ml.recommender.ids import UNKNOWN
from ok_ml.recommender.ranking.column_ranker import ColumnRanker
from ok_ml.recommender.ranking.rank_blocks import rank_block
from ok_ml.recommender.ranking.ranker import Ranker
from ok_ml.recommender.ranking.ranking_context import Cut

TWO_STAGE: Final = "two_stage"


def ranked_lists(
    cut: Cut, parts: int, user_ids: NDArray[np.int64], k: int, ranker: Ranker, stage: PredictionsStage
) -> NDArray[np.int64]:
    """What a ranker would serve: int64 [users, k] source ids in the order of `user_ids`, padded with -1.

    Users unknown at the cut get only padding. Raises ModelError for a ranker of other features than the cut's, or of another
    order of them.
    """
    if not isinstance(ranker, ColumnRanker):  # simple lists read none
        ranker.require_features(cut.layout.feature_order())
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
            lists[known[done : done + block.size]] = ids[rank_block(part, block, ranker, stage, k).sources]
            done += block.size
    return lists
