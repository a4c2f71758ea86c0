"""The simulated network as a whole: calendar, blocks, sources, and its snapshots in the raw columns of its log."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import TypeVar, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ok_ml.config.models import WorldConfig
from ok_ml.errors import DataError
from ok_ml.world.parameters import GROWTH_DAYS, Behaviour, behaviour_of
from ok_ml.world.population import names
from ok_ml.world.population.friends import Friendships, friendships
from ok_ml.world.population.sources import DayTable, Sources, chunk_of_sources, day_weights, joined, make_topics
from ok_ml.world.population.surroundings import Surroundings
from ok_ml.world.population.users import BlockUsers, blocks_on
from ok_ml.world.randomness import SOURCE_IDS, USER_IDS, Stream, hash64, uniform

T = TypeVar("T")
_EPOCH = date(1970, 1, 1)
_BLOCKS_IN_MEMORY = 128  # about 3 MB each with 2,500 users


@dataclass(frozen=True)
class Block:
    """Everything static about one block of users."""

    users: BlockUsers
    surroundings: Surroundings
    friendships: Friendships


class World:
    """The simulated social network of one configuration.

    Parameters
    ----------
    config
        Scale, seed, overrides of behaviour. `config.days` is only what a first run commits: any later day exists too.
    parts
        Parts of the entity hash, for the files of the event log.
    """

    def __init__(self, config: WorldConfig, parts: int) -> None:
        self.config, self.parts = config, parts
        self.behaviour: Behaviour = behaviour_of(config)
        self.topics = make_topics(config, self.behaviour, len(names.AGE_GROUPS))
        self._start = date.fromisoformat(config.start)
        self._memory: OrderedDict[Hashable, object] = OrderedDict()

    # -- calendar ------------------------------------------------------------------------------------------

    def dates(self) -> list[str]:
        """The days of the configuration, as ISO dates."""
        return [self.date_of(day) for day in range(self.config.days)]

    def date_of(self, day: int) -> str:
        """The ISO date of a day index."""
        return (self._start + timedelta(days=day)).isoformat()

    def day_of(self, dt: str) -> int:
        """The day index of an ISO date. Raises DataError before the world's start."""
        day = (date.fromisoformat(dt) - self._start).days
        if day < 0:
            raise DataError(
                f"the world begins on {self.config.start}, not on {dt}",
                why="there is nothing to simulate before it",
                remedy="ask for a later day, or move world.start in the dataset's YAML",
            )
        return day

    def start_ms(self, day: int) -> int:
        """Milliseconds since 1970 at the beginning of a day, UTC."""
        return ((self._start - _EPOCH).days + day) * 86_400_000

    def weekday(self, day: int) -> int:
        """0 is Monday."""
        return (self._start + timedelta(days=day)).weekday()

    # -- truth ---------------------------------------------------------------------------------------------

    def blocks(self, day: int | None = None) -> range:
        """Blocks with a user registered by `day` (default: the last configured day)."""
        return range(blocks_on(self.config, self.behaviour, self.config.days - 1 if day is None else day))

    def block(self, number: int) -> Block:
        """The static truth about one block."""
        return self._remember(("block", number), _BLOCKS_IN_MEMORY, lambda: self._make_block(number))

    def sources(self, day: int) -> Sources:
        """The sources born in or before the 28 days of `day`; the index of a source never changes."""
        chunks = day // GROWTH_DAYS + 1
        return self._remember(("sources", chunks), 4, lambda: joined([self._chunk(number) for number in range(chunks)]))

    def day_table(self, day: int) -> DayTable:
        """What can be shown on a day."""
        return self._remember(("day", day), 64, lambda: self._make_day_table(day))

    def user_ids(self, day: int) -> NDArray[np.int64]:
        """Ids of the users registered by the end of a day, by index."""
        blocks = (self.block(number).users for number in self.blocks(day))
        return USER_IDS.encode(np.concatenate([users.index[users.registered <= day] for users in blocks]))

    # -- snapshots -----------------------------------------------------------------------------------------

    def users_table(self, day: int) -> pa.Table:
        """Users registered by the end of a day: userId, name, ageGroup, registered."""
        return pa.concat_tables([self._users_of_block(number, day) for number in self.blocks(day)])

    def sources_table(self, day: int) -> pa.Table:
        """Sources alive on a day: ownerId, title, topic (null where none was entered), kind, created."""
        table, sources = self.day_table(day), self.sources(day)
        alive = table.alive
        topic = sources.niche[alive] // self.topics.niches_a_topic
        bits = hash64(self.config.seed, Stream.SOURCES, alive)
        topic_names = tuple(names.topic_name(number) for number in range(self.config.topics))
        return pa.table(
            {
                "ownerId": SOURCE_IDS.encode(alive),
                "title": names.source_titles(bits, topic, alive),
                "topic": names.words(topic_names, np.where(sources.topic_known[alive], topic, -1)),
                "kind": names.words(("group", "author"), sources.is_author[alive].astype(np.int64)),
                "created": self._dates(sources.born[alive], uniform(bits)),
            }
        )

    def friends_table(self, day: int) -> pa.Table:
        """Friendships that have begun by the end of a day, both directions: userId, friendId."""
        tables = []
        for number in self.blocks(day):
            edges = self.block(number).friendships
            begun = edges.since <= day
            user, friend = USER_IDS.encode(edges.user[begun]), USER_IDS.encode(edges.friend[begun])
            tables.append(pa.table({"userId": user, "friendId": friend}))
        return pa.concat_tables(tables)

    # -- inside --------------------------------------------------------------------------------------------

    def _users_of_block(self, number: int, day: int) -> pa.Table:
        users = self.block(number).users
        here = users.registered <= day
        index = users.index[here]
        bits = hash64(self.config.seed, Stream.USERS, index)
        return pa.table(
            {
                "userId": USER_IDS.encode(index),
                "name": names.user_names(bits),
                "ageGroup": names.words(names.AGE_GROUPS, users.age[here]),
                "registered": self._dates(users.registered[here], uniform(bits)),
            }
        )

    def _dates(self, day: NDArray[np.int32], u: NDArray[np.float64]) -> pa.Array:
        """ISO dates of days; what existed on day 0 began up to eight years before."""
        before = -1 - (u * 8 * 365).astype(np.int64)
        days = (self._start - _EPOCH).days + np.where(day > 0, day.astype(np.int64), before)
        return pa.array(days.astype("datetime64[D]")).cast(pa.string())

    def _make_block(self, number: int) -> Block:
        users = BlockUsers(self.config, self.behaviour, self.topics, number)
        return Block(users, Surroundings(users, self.day_table), friendships(self.config, self.behaviour, users))

    def _chunk(self, number: int) -> Sources:
        make = partial(chunk_of_sources, self.config, self.behaviour, self.topics, number)
        return self._remember(("chunk", number), 64, make)

    def _make_day_table(self, day: int) -> DayTable:
        sources = self.sources(day)
        weight = day_weights(self.config, self.behaviour, sources, day)
        return DayTable(sources, weight, self.topics.niches, self.behaviour.long_tail_exponent)

    def _remember(self, key: tuple[str, int], limit: int, make: Callable[[], T]) -> T:
        """A value from memory, else made; of each kind the `limit` last used are cached."""
        if key in self._memory:
            self._memory.move_to_end(key)
        else:
            made = make()
            self._memory[key] = made
            same = [other for other in self._memory if cast("tuple[str, int]", other)[0] == key[0]]
            for old in same[: max(len(same) - limit, 0)]:
                del self._memory[old]
        return cast("T", self._memory[key])
