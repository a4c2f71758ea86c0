"""What a feature's computation sees: the past of every user, source or pair, summed over the feature's own window.

A frame stands at the end of one day, has one row an entity and never looks beyond its day. Its methods return one float64
a row, NaN where there is nothing to tell (a feature's `absent` value is put there).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ok_ml.errors import ConfigError
from ok_ml.features.history.event_log import EventLog, window_of
from ok_ml.features.history.measures import Measure
from ok_ml.places import ascending

Values: TypeAlias = NDArray[np.float64]


# Columns of `Frame.column`, which do not come from sums over events.
FRIENDS: Final = "friends"  # user: friends at the end of the day
SUBSCRIPTIONS: Final = "subscriptions"  # user: sources subscribed to at the end of the day
FRIENDS_EVENTS: Final = "friends_events"  # user: events of all friends together in the popularity window
FRIENDS_SUBSCRIPTIONS: Final = "friends_subscriptions"  # user: subscriptions of all friends together
REGISTERED_DAY: Final = "registered_day"  # user: days since 1970-01-01; NaN where unknown
USERS: Final = "users"  # source: different users with an event in the popularity window
REACTORS: Final = "reactors"  # source: different users with a reaction in the popularity window
SUBSCRIBERS: Final = "subscribers"  # source: subscribers at the end of the day
CREATED_DAY: Final = "created_day"  # source: days since 1970-01-01; NaN where unknown
TOPIC: Final = "topic"  # source: number of its topic; NaN without one
FRIENDS_SUBSCRIBED: Final = "friends_subscribed"  # pair: friends of the user that are subscribed to the source


@dataclass(frozen=True)
class Cells:
    """The rows that are summed: events, or roll-ups of events.

    Attributes
    ----------
    day
        int32 [n], ascending.
    values
        measure -> int64 [n].
    """

    day: NDArray[np.int32]
    values: Callable[[Measure], NDArray[np.int64]]

    @classmethod
    def of_log(cls, log: EventLog) -> "Cells":
        """One cell an event; each measure is computed once."""
        known: dict[str, NDArray[np.int64]] = {}

        def values(measure: Measure) -> NDArray[np.int64]:
            if measure.name not in known:
                known[measure.name] = measure.of(log).astype(np.int64)
            return known[measure.name]

        return cls(log.day, values)


@dataclass(frozen=True)
class Frame:
    """The past of `size` entities as of the end of day `day`.

    Attributes
    ----------
    group
        int64 [n]: row of each cell's entity; -1 for a cell outside every window.
    windows
        field of FeaturesStage -> days.
    window
        The field that this view sums over.
    columns
        name -> float64 [size].
    """

    cells: Cells
    group: NDArray[np.int64]
    size: int
    day: int
    windows: Mapping[str, int]
    window: str | None = None
    columns: Mapping[str, Values] = field(default_factory=dict)
    _totals: dict[tuple[str, int], Values] = field(default_factory=dict, repr=False)

    def over(self, window: str | None) -> Self:
        """The same frame with another window."""
        return replace(self, window=window)

    @property
    def days(self) -> int:
        """Length of the window in days.

        Raises
        ------
        ConfigError
            The feature declares no window.
        """
        if self.window is None:
            raise ConfigError(
                "a feature without a window asked for a sum over events",
                why="a sum has to say how far back it looks",
                remedy="declare `window` as one of " + ", ".join(self.windows),
            )
        return self.windows[self.window]

    def column(self, name: str) -> Values:
        """One of the columns named at the top of this module."""
        return self.columns[name]

    def total(self, measure: Measure, where: NDArray[np.bool_] | None = None) -> Values:
        """Sum of a measure over the window, of the cells where `where` [n] is true if it is given."""
        if where is not None:
            return self._sum(self.cells.values(measure) * where, self.days)
        key = measure.name, self.days
        if key not in self._totals:
            self._totals[key] = self._sum(self.cells.values(measure), self.days)
        return self._totals[key]

    def recent(self, measure: Measure, share: float) -> Values:
        """Sum of a measure over the last `share` of the window, one day at least."""
        return self._sum(self.cells.values(measure), max(1, round(self.days * share)))

    def days_with(self, measure: Measure) -> Values:
        """Number of different days of the window with a measure above 0."""
        return self.distinct(self.cells.day, measure)

    def days_since(self, measure: Measure) -> Values:
        """Days from the last day of the window with a measure above 0 to `day`; NaN without one."""
        seen = self._places(measure)
        last = np.full(self.size, np.nan)
        last[self.group[seen]] = self.cells.day[seen]  # days ascend, and the last of equal rows stays
        return self.day - last

    def distinct(self, attribute: NDArray[Any], measure: Measure) -> Values:
        """Number of different values of an attribute [n] among the window's cells with a measure above 0."""
        return distinct_by(self.group, attribute, self._places(measure), self.size)

    def _places(self, measure: Measure) -> NDArray[np.int64]:
        inside = self._window(self.days)
        places: NDArray[np.int64] = np.flatnonzero(self.cells.values(measure)[inside] > 0) + inside.start
        return places

    def _window(self, days: int) -> slice:
        return window_of(self.cells.day, self.day, days)

    def _sum(self, values: NDArray[np.int64], days: int) -> Values:
        inside = self._window(days)
        # float64 holds whole numbers below 2^53 exactly, so this sum is one of integers
        return np.bincount(self.group[inside], values[inside], self.size).astype(np.float64)


@dataclass(frozen=True)
class UserFrame(Frame):
    """A frame of users, whose cells are events, with what else is known of each event.

    Attributes
    ----------
    source
        int64 [n]: number of the source.
    hour
        int64 [n]: hours since 1970-01-01T00:00Z.
    subscribed
        bool [n]: whether the user is subscribed to the source at the end of `day`.
    topic
        int64 [n]: number of the source's topic; -1 without one.
    topics
        Number of topics.
    """

    source: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    hour: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    subscribed: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    topic: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    topics: int = 0

    def by_topic(self, measure: Measure) -> Values:
        """Sum of a measure over the window by topic: float64 [size, topics]; sources without a topic are left out."""
        inside = self._window(self.days)
        known = np.flatnonzero(self.topic[inside] >= 0) + inside.start
        place = self.group[known] * self.topics + self.topic[known]
        sums = np.bincount(place, self.cells.values(measure)[known], self.size * self.topics)
        return sums.reshape(self.size, self.topics).astype(np.float64)

    def peak(self, measure: Measure) -> Values:
        """The largest sum of a measure over the window on a single source."""
        inside = self._window(self.days)
        span = int(self.source.max(initial=0)) + 1
        key = self.group[inside] * span + self.source[inside]
        pairs = ascending(key)
        sums = np.bincount(np.searchsorted(pairs, key), self.cells.values(measure)[inside], len(pairs))
        out = np.zeros(self.size)
        np.maximum.at(out, pairs // span, sums)
        return out


def distinct_by(group: NDArray[np.int64], attribute: NDArray[Any], places: NDArray[np.int64], size: int) -> Values:
    """How many different values of `attribute` the chosen places of each group have: float64 [size]."""
    values = attribute[places].astype(np.int64)
    low, span = int(values.min(initial=0)), int(values.max(initial=0)) - int(values.min(initial=0)) + 1
    ordered = ascending(group[places] * span + (values - low))
    return np.bincount(ordered // span, minlength=size).astype(np.float64)
