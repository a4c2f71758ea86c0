"""Places of served lists that explore: they hold a source that the list does not, drawn with a known probability.

Without them nothing is learnt of what the served model does not like: whoever is served looks better with every day.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ok_ml.hashing import mix64, text_id
from ok_ml.places import place_of
from ok_ml.recommender.ids import UNKNOWN
from ok_ml.recommender.ranking.rank_blocks import RankedLists
from ok_ml.recommender.retrieval.candidates import Candidates

_ONE: Final = 2.0**-53


def explore(
    lists: RankedLists, pool: Candidates, user_ids: NDArray[np.int64], share: float, salt: str
) -> NDArray[np.float32]:
    """Let places of some lists explore; the lists are changed.

    A place explores with probability `share`, by a hash of `salt`, user and place; it gets one of the user's candidates that
    the list does not hold, each with the same probability, and no two places of a list the same one. A user with fewer such
    candidates than places does not explore. The scores stay as they are: those of the places, falling.

    Parameters
    ----------
    pool
        Candidates of the same users.
    salt
        Equal texts draw equally: experiment and day.

    Returns
    -------
    float32 [n, k]: the probability with which each place holds what it holds: 1 - share of a source of the list, share over the
    number of candidates outside of an explored one, 1 where a user does not explore.
    """
    n, k = lists.sources.shape
    propensities = np.ones((n, k), np.float32)
    outside = _outside(lists.sources, pool.sources)
    count = outside.sum(axis=1)
    able = count >= k
    if share <= 0 or not able.any():
        return propensities
    seeds = mix64(user_ids.view(np.uint64) ^ np.uint64(text_id(salt) % 2**64))
    drawn = (mix64(seeds[:, None] ^ np.arange(k, dtype=np.uint64)) >> np.uint64(11)) * _ONE
    explores = able[:, None] & (lists.sources != UNKNOWN) & (drawn < share)
    order = np.argsort(
        np.where(outside, mix64(~seeds[:, None] ^ pool.sources.astype(np.uint64)), np.uint64(2**64 - 1)), axis=1
    )
    rows, places = np.nonzero(explores)
    nth = (np.cumsum(explores, axis=1) - 1)[rows, places]
    chosen = order[rows, nth]
    lists.sources[rows, places] = pool.sources[rows, chosen]
    lists.reasons[rows, places] = pool.reasons[rows, chosen]
    propensities[able] = 1 - share
    propensities[rows, places] = share / count[rows]
    return propensities


def _outside(lists: NDArray[np.int32], pool: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Candidates that the list of the same row does not hold, bool like `pool`."""
    width = int(max(lists.max(initial=0), pool.max(initial=0))) + 1
    rows = np.arange(len(lists), dtype=np.int64)[:, None] * width
    held = np.sort(np.where(lists == UNKNOWN, -1, rows + lists).ravel())
    keys = np.where(pool == UNKNOWN, -1, rows + pool)
    return (keys >= 0) & (place_of(held, keys.ravel()).reshape(keys.shape) < 0)
