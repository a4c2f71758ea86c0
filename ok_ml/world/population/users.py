"""The users of one block: who they are, and how their tastes move.

An interest is a niche with a weight. A user has two to four; each interest of a moving user turns into another one from
epoch to epoch: at once for who jumps, linearly over the epoch for who drifts. So taste is a function of (seed, user, day).
"""

import numpy as np
from numpy.typing import NDArray

from ok_ml.config.models import WorldConfig
from ok_ml.world.parameters import GROWTH_DAYS, Behaviour
from ok_ml.world.population.names import AGE_SHARES
from ok_ml.world.population.sources import Topics
from ok_ml.world.randomness import Stream, generator, hash64, uniform

INTERESTS = 4
_CIRCLE_TOPICS = 3
_STABLE, _JUMPING, _DRIFTING = 0, 1, 2


def base_blocks(config: WorldConfig) -> int:
    """Blocks of the users of the first 28 days."""
    return -(-config.users // config.users_per_block)


def days_a_later_block(config: WorldConfig, behaviour: Behaviour) -> int:
    """Days in which one further block registers, at the rate of the first 28 days."""
    a_day = config.users * behaviour.registered_later_share / (GROWTH_DAYS - 1)
    return max(1, round(config.users_per_block / max(a_day, 1e-9)))


def blocks_on(config: WorldConfig, behaviour: Behaviour, day: int) -> int:
    """Blocks with a user registered by a day."""
    later = max(0, day - GROWTH_DAYS + 1)
    return base_blocks(config) + -(-later // days_a_later_block(config, behaviour))


def users_of(config: WorldConfig, block: int) -> NDArray[np.int64]:
    """Indices of the users of a block; only the last block of the first 28 days may be short."""
    base = base_blocks(config)
    if block < base:
        return np.arange(block * config.users_per_block, min((block + 1) * config.users_per_block, config.users))
    return config.users + np.arange(config.users_per_block) + (block - base) * config.users_per_block


def block_of(config: WorldConfig, users: NDArray[np.int64]) -> NDArray[np.int64]:
    """The block of each user index."""
    later = base_blocks(config) + (users - config.users) // config.users_per_block
    return np.where(users < config.users, users // config.users_per_block, later)


def registered_days(config: WorldConfig, behaviour: Behaviour, users: NDArray[np.int64]) -> NDArray[np.int32]:
    """The day on which each user registers; 0 for who was there before."""
    u = uniform(hash64(config.seed, Stream.REGISTRATION, users))
    later = np.maximum(block_of(config, users) - base_blocks(config), 0)
    length = days_a_later_block(config, behaviour)
    in_base = np.where(
        u < behaviour.registered_later_share,
        1 + np.floor(u / max(behaviour.registered_later_share, 1e-12) * (GROWTH_DAYS - 1)),
        0,
    )
    after = GROWTH_DAYS + later * length + np.floor(u * length)
    return np.where(users < config.users, in_base, after).astype(np.int32)


class BlockUsers:
    """Static truth about the users of one block, and their tastes on any day.

    Attributes
    ----------
    index
        int64 [n], user indices, consecutive.
    circle
        int64 [n], circle within the block; circles are runs of consecutive users.
    registered, age
        int32 [n] day, int8 [n] age group.
    active, posts
        float64 [n], probability of presence on a weekday (0: silent) and mean posts on a day of presence.
    generosity
        float32 [n], log odds.
    """

    def __init__(self, config: WorldConfig, behaviour: Behaviour, topics: Topics, block: int) -> None:
        self.config, self.behaviour, self.topics, self.block = config, behaviour, topics, block
        self.index = users_of(config, block)
        self.circle = np.arange(len(self.index)) // behaviour.circle_users
        self.circles = int(self.circle[-1]) + 1
        self.registered = registered_days(config, behaviour, self.index)
        rng = generator(config.seed, Stream.USERS, block)
        n = len(self.index)
        circle_rng, ages = generator(config.seed, Stream.CIRCLES, block), len(AGE_SHARES)
        self._circle_age = circle_rng.choice(ages, self.circles, p=AGE_SHARES)
        own_age = rng.choice(ages, n, p=AGE_SHARES)
        self.age = np.where(rng.random(n) < 0.6, self._circle_age[self.circle], own_age).astype(np.int8)
        self.active, self.posts = self._draw_activity(rng)
        self.generosity = (behaviour.generosity * rng.standard_normal(n)).astype(np.float32)
        self._draw_interests(rng)
        self._epochs: dict[int, NDArray[np.int32]] = {}

    def __len__(self) -> int:
        return len(self.index)

    def taste(
        self, day: int | NDArray[np.int64], rows: NDArray[np.int64] | slice = slice(None)
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Interests on a day: niches int32 [n, 8] and weights float32 [n, 8], which sum to 1.

        Columns 0..3 are what interests are now, 4..7 what they are turning into (weight 0 unless drifting).
        """
        length, kind = self._length[rows], self._kind[rows]
        progress = np.where(self._moving[rows], (np.asarray(day).reshape(-1, 1) + self._phase[rows]) / length, 0.0)
        epoch = np.floor(progress).astype(np.int64)
        ahead = np.where(kind[:, None] == _DRIFTING, progress - epoch, 0.0)
        weight = self._weight[rows]
        niches = np.concatenate([self._niches(epoch, rows), self._niches(epoch + 1, rows)], axis=1)
        niches = self._changed(niches, np.broadcast_to(np.asarray(day), (len(niches),)), rows)
        return niches, np.concatenate([weight * (1 - ahead), weight * ahead], axis=1).astype(np.float32)

    def _changed(
        self, niches: NDArray[np.int32], day: NDArray[np.int64], rows: NDArray[np.int64] | slice
    ) -> NDArray[np.int32]:
        """The same interests after the changes of taste up to each row's day: moved by half of the topics.

        A whole circle is hit or spared, since its members share interests.
        """
        topics = self.topics
        for number, change in enumerate(self.config.taste_changes):
            first = self.index[self.circle * self.behaviour.circle_users]
            drawn = uniform(hash64(self.config.seed, Stream.TASTE_CHANGES, first, number))
            hit = (drawn < change.share)[rows] & (day >= change.day)
            moved = (niches + topics.niches // topics.niches_a_topic // 2 * topics.niches_a_topic) % topics.niches
            niches = np.where(hit[:, None], moved, niches).astype(np.int32)
        return niches

    def _draw_activity(self, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        b, n = self.behaviour, len(self.index)
        active = rng.beta(1.6, 1.6 * (1 / b.active_share - 1), n)
        active[rng.random(n) < b.silent_share] = 0.0
        spread = np.exp(b.posts_spread * rng.standard_normal(n) - b.posts_spread**2 / 2)
        return active, 1 + (b.posts_a_visit_day - 1) * spread

    def _draw_interests(self, rng: np.random.Generator) -> None:
        b, n = self.behaviour, len(self.index)
        count = 2 + rng.choice(3, n, p=(0.35, 0.4, 0.25))
        weight = rng.gamma(3.0, size=(n, INTERESTS)) * (np.arange(INTERESTS) < count[:, None])
        self._weight = weight / weight.sum(axis=1, keepdims=True)
        u = rng.random(n)
        kinds = np.array([_STABLE, _JUMPING, _DRIFTING])
        self._kind = kinds[np.searchsorted([b.stable_share, b.stable_share + b.jumping_share], u, side="right")]
        mean = np.where(self._kind == _JUMPING, b.jump_epoch_days, b.drift_epoch_days)[:, None]
        self._length = mean * rng.uniform(0.6, 1.4, (n, INTERESTS))
        self._phase = rng.random((n, INTERESTS)) * self._length
        moving = rng.random((n, INTERESTS)) < b.moving_interest_share
        self._moving = moving & (self._kind != _STABLE)[:, None]
        circle_rng = generator(self.config.seed, Stream.CIRCLES, self.block, 1)
        self._circle_niches = self._niche_of(self._circle_age, *circle_rng.random((2, self.circles, _CIRCLE_TOPICS)))

    def _niches(self, epoch: NDArray[np.int64], rows: NDArray[np.int64] | slice) -> NDArray[np.int32]:
        niches = self._niches_of_epoch(0)[rows]
        for number in range(1, int(epoch.max(initial=0)) + 1):
            here = epoch == number
            if here.any():
                niches = np.where(here, self._niches_of_epoch(number)[rows], niches)
        return niches

    def _niches_of_epoch(self, epoch: int) -> NDArray[np.int32]:
        if epoch not in self._epochs:
            shape = (len(self.index), INTERESTS)
            rng = generator(self.config.seed, Stream.INTERESTS, self.block, epoch)
            own = self._niche_of(self.age, rng.random(shape), rng.random(shape))
            shared = self._circle_niches[self.circle[:, None], rng.integers(0, _CIRCLE_TOPICS, shape)]
            self._epochs[epoch] = np.where(rng.random(shape) < self.behaviour.homophily, shared, own)
        return self._epochs[epoch]

    def _niche_of(self, age: NDArray[np.integer], u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.int32]:
        """Niches [n, m] by the leanings of each row's age group; the first niches of a topic are the larger ones."""
        by_age = self.topics.by_age[age]
        topic = np.empty(u.shape, np.int64)
        for column in range(u.shape[1]):
            topic[:, column] = (u[:, column, None] >= by_age).sum(axis=1)
        topic = np.minimum(topic, by_age.shape[1] - 1)
        niche: NDArray[np.int64] = topic * self.topics.niches_a_topic + np.floor(v**1.3 * self.topics.niches_a_topic)
        return niche.astype(np.int32)
