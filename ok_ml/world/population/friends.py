"""The friends graph: dense circles of consecutive users, and a few distant friends.

An edge is a function of its two ends, so that each block knows the friends of its users without the other blocks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ok_ml.config.models import WorldConfig
from ok_ml.world.parameters import Behaviour
from ok_ml.world.population.users import BlockUsers, registered_days
from ok_ml.world.randomness import Stream, hash64, uniform


@dataclass(frozen=True)
class Friendships:
    """Friendships of the users of a block, one row for each direction that starts in it.

    Attributes
    ----------
    user, friend
        int64 [m], user indices; `user` is of the block, ascending.
    since
        int32 [m], the day that it begins; never before both are registered.
    asks
        bool [m], whether `user` is the one who asks: true in one of the two directions.
    """

    user: NDArray[np.int64]
    friend: NDArray[np.int64]
    since: NDArray[np.int32]
    asks: NDArray[np.bool_]


def friendships(config: WorldConfig, behaviour: Behaviour, users: BlockUsers) -> Friendships:
    """All friendships, now or later, of the users of a block."""
    near = _circle_pairs(config, behaviour, users)
    far = _distant_pairs(config, behaviour, users)
    user, friend = np.concatenate([near, far], axis=1)
    order = np.lexsort((friend, user))
    user, friend = user[order], friend[order]
    once = np.r_[True, (np.diff(user) != 0) | (np.diff(friend) != 0)] if len(user) else np.zeros(0, bool)
    user, friend = user[once], friend[once]
    low, high = np.minimum(user, friend), np.maximum(user, friend)
    u = uniform(hash64(config.seed + 1, Stream.FRIENDS, low, high))
    is_later = u < behaviour.later_friend_share
    waited = np.where(is_later, u, 0.0) / max(behaviour.later_friend_share, 1e-9)
    wait = -behaviour.later_friend_days * np.log1p(-waited)
    since = np.where(is_later, 1 + np.floor(wait), 0)
    for end in (user, friend):
        since = np.maximum(since, registered_days(config, behaviour, end))
    return Friendships(user, friend, since.astype(np.int32), (u * 2**20).astype(np.int64) % 2 == (user == low))


def _circle_pairs(config: WorldConfig, behaviour: Behaviour, users: BlockUsers) -> NDArray[np.int64]:
    distance = np.arange(1, behaviour.circle_users)
    first = np.repeat(np.arange(len(users)), len(distance))
    second = first + np.tile(distance, len(users))
    inside = second < len(users)
    first, second = first[inside], second[inside]
    same = users.circle[first] == users.circle[second]
    low, high = users.index[first[same]], users.index[second[same]]
    chance = behaviour.circle_friend_share * _sociable(config, low) * _sociable(config, high)
    kept = uniform(hash64(config.seed, Stream.FRIENDS, low, high)) < chance
    low, high = low[kept], high[kept]
    return np.stack([np.concatenate([low, high]), np.concatenate([high, low])])


def _distant_pairs(config: WorldConfig, behaviour: Behaviour, users: BlockUsers) -> NDArray[np.int64]:
    """Pairs under reflections i -> a - i of the index space, which are their own inverses."""
    is_base = users.index[0] < config.users
    start, n = (0, config.users) if is_base else (int(users.index[0]), len(users))
    pairs = []
    for number in range(behaviour.distant_friends):
        axis = int(hash64(config.seed, Stream.FRIENDS, np.array([-1 - number]))[0] % np.uint64(n))
        friend = start + (axis - (users.index - start)) % n
        low, high = np.minimum(users.index, friend), np.maximum(users.index, friend)
        kept = uniform(hash64(config.seed, Stream.FRIENDS, low, high)) < behaviour.distant_friend_share
        kept &= low != high
        pairs.append(np.stack([users.index[kept], friend[kept]]))
    return np.concatenate(pairs, axis=1)


def _sociable(config: WorldConfig, users: NDArray[np.int64]) -> NDArray[np.float64]:
    return 0.4 + 1.2 * uniform(hash64(config.seed + 2, Stream.FRIENDS, users))
