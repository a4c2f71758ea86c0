"""Features of any pairs, for users of any part: by the code that ranks."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ok_ml.hashing import part_of
from ok_ml.places import place_of
from ok_ml.recommender.ids import UNKNOWN
from ok_ml.recommender.ranking.ranking_context import Cut


def features_of_pairs(
    cut: Cut, parts: int, user_ids: NDArray[np.int64], source_ids: NDArray[np.int64], candidates: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Features of pairs as of a cut, block by block; pairs whose user or source is unknown at the cut are left out.

    Parameters
    ----------
    user_ids, source_ids
        int64 [pairs], in any order.
    candidates
        As many as are ranked in production: relative scores are relative to the best of them.

    Yields
    ------
    Places of some pairs, int64 [m]; their features, float32 [m, features].
    """
    sources, owner = cut.index.catalogue.index(source_ids), part_of(user_ids, parts)
    for number in np.unique(owner[sources != UNKNOWN]):
        part = cut.part(int(number))
        mine = np.flatnonzero((owner == number) & (sources != UNKNOWN))
        places = place_of(part.users.user_ids, user_ids[mine])
        mine, places = mine[places >= 0], places[places >= 0]
        for block in part.blocks(np.unique(places)):
            rows = place_of(block.user_ids, user_ids[mine])
            here = np.flatnonzero(rows >= 0)
            best = cut.index.candidates(block, candidates).best_scores
            yield mine[here], part.store.gather(block, rows[here], sources[mine[here]], best)
