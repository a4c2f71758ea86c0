"""Which columns of the dataset a feature reads: its computation is run once on a frame without events that notes them.

What a declaration would say twice cannot be wrong: the same function computes the values.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_args

import numpy as np

from ok_ml import columns as c
from ok_ml.features.declared.feature import Feature, Window
from ok_ml.features.history import frames
from ok_ml.features.history.event_log import EventLog
from ok_ml.features.history.frames import Cells, UserFrame

if TYPE_CHECKING:
    from ok_ml.features.history.measures import Measure

Read: TypeAlias = tuple[str, str]  # table of the dataset, column

_KEY: Final[dict[str, tuple[Read, ...]]] = {
    "user": ((c.EVENTS, c.USER_ID),),
    "source": ((c.EVENTS, c.SOURCE_ID),),
    "pair": ((c.EVENTS, c.USER_ID), (c.EVENTS, c.SOURCE_ID)),
}
_TIME: Final = (c.EVENTS, c.EVENT_TIME)
_LINKS: Final = ((c.FRIENDS, c.USER_ID), (c.FRIENDS, c.FRIEND_ID))
_SUBSCRIBED: Final = ((c.SUBSCRIPTIONS, c.USER_ID), (c.SUBSCRIPTIONS, c.SOURCE_ID))
_OF_LOG: Final[dict[str, Read]] = {
    "user_id": (c.EVENTS, c.USER_ID),
    "source_id": (c.EVENTS, c.SOURCE_ID),
    "event_type": (c.EVENTS, c.EVENT_TYPE),
    "content_type": (c.EVENTS, c.CONTENT_TYPE),
    "duration_ms": (c.EVENTS, c.DURATION_MS),
    "hour": _TIME,
    "weight": (c.EVENTS, c.EVENT_TYPE),
}
_OF_FRAME: Final[dict[str, tuple[Read, ...]]] = {
    "source": ((c.EVENTS, c.SOURCE_ID),),
    "hour": (_TIME,),
    "subscribed": (*_SUBSCRIBED, (c.EVENTS, c.SOURCE_ID)),
    "topic": ((c.SOURCES, c.SOURCE_ID), (c.SOURCES, c.TOPIC), (c.EVENTS, c.SOURCE_ID)),
}
_OF_COLUMNS: Final[dict[str, tuple[Read, ...]]] = {
    frames.FRIENDS: _LINKS,
    frames.SUBSCRIPTIONS: _SUBSCRIBED,
    frames.FRIENDS_EVENTS: (*_LINKS, (c.EVENTS, c.USER_ID), _TIME),
    frames.FRIENDS_SUBSCRIPTIONS: (*_LINKS, *_SUBSCRIBED),
    frames.REGISTERED_DAY: ((c.USERS, c.REGISTERED_DT),),
    frames.USERS: ((c.EVENTS, c.USER_ID), (c.EVENTS, c.SOURCE_ID), (c.EVENTS, c.EVENT_TYPE), _TIME),
    frames.REACTORS: ((c.EVENTS, c.USER_ID), (c.EVENTS, c.SOURCE_ID), (c.EVENTS, c.EVENT_TYPE), _TIME),
    frames.SUBSCRIBERS: _SUBSCRIBED,
    frames.CREATED_DAY: ((c.SOURCES, c.CREATED_DT),),
    frames.TOPIC: ((c.SOURCES, c.TOPIC),),
    frames.FRIENDS_SUBSCRIBED: (*_LINKS, *_SUBSCRIBED),
}


def columns_read(feature: Feature) -> list[Read]:
    """The columns of the dataset from which a feature is computed, in order of their names."""
    if feature.entity == "text":
        return [(c.TEXTS, c.TEXT)]
    seen: set[Read] = set()
    frame = _frame(seen, feature)
    seen.clear()  # what making it has read
    with np.errstate(all="ignore"):
        feature.value(frame)
    return sorted(seen)


def _frame(seen: set[Read], feature: Feature) -> "_NotingFrame":
    """One entity without events, seen over the feature's window."""
    log = _NotingLog(**{name: np.zeros(0, np.int64) for name in EventLog.__dataclass_fields__}, seen=seen)  # type: ignore[arg-type]

    def values(measure: "Measure") -> Any:
        seen.update((*_KEY[feature.entity], _TIME))
        return measure.of(log).astype(np.int64)

    return _NotingFrame(
        Cells(np.zeros(0, np.int32), values),
        np.zeros(0, np.int64),
        size=1,
        day=0,
        windows=dict.fromkeys(get_args(Window), 1),
        window=feature.window,
        columns=_NotingColumns(seen),
        seen=seen,
    )


@dataclass(frozen=True)
class _NotingLog(EventLog):
    """A log that notes which of its columns are read."""

    seen: set[Read] = field(default_factory=set)

    def __getattribute__(self, name: str) -> Any:
        if name in _OF_LOG:
            object.__getattribute__(self, "seen").add(_OF_LOG[name])
        return object.__getattribute__(self, name)


@dataclass(frozen=True)
class _NotingFrame(UserFrame):
    """A frame that notes what is read of its events."""

    seen: set[Read] = field(default_factory=set)

    def __getattribute__(self, name: str) -> Any:
        if name in _OF_FRAME:
            object.__getattribute__(self, "seen").update(_OF_FRAME[name])
        return object.__getattribute__(self, name)


@dataclass(frozen=True)
class _NotingColumns(Mapping[str, Any]):
    """The columns of a frame, each with one value; which are read is noted."""

    seen: set[Read]

    def __getitem__(self, name: str) -> Any:
        self.seen.update(_OF_COLUMNS[name])
        return np.ones(1)

    def __iter__(self) -> Iterator[str]:
        return iter(_OF_COLUMNS)

    def __len__(self) -> int:
        return len(_OF_COLUMNS)
