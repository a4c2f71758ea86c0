"""Who is subscribed to what, inside one block: a sorted set of (user, source) pairs."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ok_ml.errors import DataError
from ok_ml.world.population.users import BlockUsers, block_of
from ok_ml.world.randomness import SOURCE_IDS, USER_IDS

_LOW = np.int64(0xFFFFFFFF)


@dataclass(frozen=True)
class Subscriptions:
    """Subscriptions of the users of one block.

    Attributes
    ----------
    keys
        int64 [m], row of the user in the block << 32 | index of the source; ascending, each once.
    """

    keys: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Row of the user, ascending."""
        return self.keys >> 32

    @property
    def sources(self) -> NDArray[np.int64]:
        """Index of the source."""
        return self.keys & _LOW

    def contains(self, keys: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which pairs are subscribed."""
        return contains(self.keys, keys)

    def of_circles(self, users: BlockUsers) -> NDArray[np.int64]:
        """Sorted keys (circle << 32 | source), one for each subscription of a member."""
        return np.sort(users.circle[self.rows] << 32 | self.sources)

    def changed(self, added: NDArray[np.int64], removed: NDArray[np.int64]) -> "Subscriptions":
        """After a day: without `removed`, with `added`, which was not there and has no doubles."""
        kept = self.keys[~contains(np.sort(removed), self.keys)]
        return Subscriptions(np.sort(np.concatenate([kept, added])))

    def table(self, users: BlockUsers) -> pa.Table:
        """As rows of the raw snapshot: userId, ownerId."""
        return pa.table({"userId": USER_IDS.encode(users.index[self.rows]), "ownerId": SOURCE_IDS.encode(self.sources)})


def by_block(users: dict[int, BlockUsers], table: pa.Table) -> dict[int, Subscriptions]:
    """The raw snapshot (userId, ownerId) cut into blocks.

    Raises
    ------
    DataError
        An id is not of this world.
    """
    config = next(iter(users.values())).config
    user = USER_IDS.decode(table["userId"].to_numpy())
    source = SOURCE_IDS.decode(table["ownerId"].to_numpy())
    block = block_of(config, user)
    strange = (user < 0) | (source < 0) | ~np.isin(block, list(users))
    if strange.any():
        raise DataError(
            f"{int(strange.sum())} subscriptions are of users or sources that this world does not have",
            why="the days that follow would continue from a state of another world",
            remedy="was world.seed, users or users_per_block changed? then start with an empty lake for this dataset",
        )
    blocks = {}
    for number, members in users.items():
        mine = block == number
        blocks[number] = Subscriptions(np.sort((user[mine] - members.index[0]) << 32 | source[mine]))
    return blocks


def contains(ordered: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of `keys` are in the sorted array `ordered`."""
    if not len(ordered):
        return np.zeros(keys.shape, bool)
    place = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    mask: NDArray[np.bool_] = ordered[place] == keys
    return mask
