"""What is counted: each measure turns events into whole numbers, which features then sum over their windows.

Whole numbers, because their sums do not depend on the order of the rows or on how many tasks shared the work.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ok_ml import columns as c

if TYPE_CHECKING:
    from ok_ml.features.history.event_log import EventLog

REACTION_TYPES: Final = (c.LIKE, c.CLICK, c.COMMENT, c.SHARE, c.SUBSCRIBE, c.PURCHASE, c.TAG)


@dataclass(frozen=True)
class Measure:
    """A whole number for every event.

    Attributes
    ----------
    of
        log of n events -> int64 or bool [n].
    """

    name: str
    of: "Callable[[EventLog], NDArray[Any]]"


def count_of(name: str, *event_types: str, content_type: str | None = None) -> Measure:
    """1 for an event of some types (any type if none is named), of a content type if one is named."""

    def counted(log: "EventLog") -> NDArray[np.bool_]:
        wanted = log.is_any(*(event_types or c.EVENT_TYPES))
        return wanted & log.is_content(content_type) if content_type else wanted

    return Measure(name, counted)


ALL: Final = count_of("events")
SOURCE_EVENTS: Final = count_of("source_events", *(name for name in c.EVENT_TYPES if name != c.FRIEND_REQUEST))
IMPRESSIONS: Final = count_of("impressions", c.IMPRESSION)
REACTIONS: Final = count_of("reactions", *REACTION_TYPES)
CLICKS: Final = count_of("clicks", c.CLICK)
COMMENTS: Final = count_of("comments", c.COMMENT)
HIDES: Final = count_of("hides", c.HIDE)
SUBSCRIBES: Final = count_of("subscribes", c.SUBSCRIBE)
UNSUBSCRIBES: Final = count_of("unsubscribes", c.UNSUBSCRIBE)
FRIEND_REQUESTS: Final = count_of("friend_requests", c.FRIEND_REQUEST)
VIDEO_EVENTS: Final = count_of("video_events", content_type=c.VIDEO)
PHOTO_EVENTS: Final = count_of("photo_events", content_type=c.PHOTO)
TEXT_EVENTS: Final = count_of("text_events", content_type=c.TEXT)
VIDEO_REACTIONS: Final = count_of("video_reactions", *REACTION_TYPES, content_type=c.VIDEO)
PHOTO_REACTIONS: Final = count_of("photo_reactions", *REACTION_TYPES, content_type=c.PHOTO)
TEXT_REACTIONS: Final = count_of("text_reactions", *REACTION_TYPES, content_type=c.TEXT)
DURATION_MS: Final = Measure("duration_ms", lambda log: log.duration_ms)
WEIGHT: Final = Measure("weight", lambda log: log.weight)  # thousandths, see log.WEIGHT_SCALE
