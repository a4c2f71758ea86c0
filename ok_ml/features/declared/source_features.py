"""Features of a source: one declaration each. `f` is a Frame whose cells are daily sums over all users."""

from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml.features.declared.feature import NEVER, Feature
from ok_ml.features.declared.formulas import PRIOR_RATE, ratio, smoothed
from ok_ml.features.history import frames
from ok_ml.features.history import measures as m

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ok_ml.features.history.frames import Frame


def _topic_popularity(f: "Frame") -> "NDArray[np.float64]":
    topic, reactions = f.column(frames.TOPIC), f.total(m.REACTIONS)
    known = ~np.isnan(topic)
    number = topic[known].astype(np.int64)
    by_topic = np.bincount(number, reactions[known], int(number.max(initial=-1)) + 1)
    out = np.full(f.size, np.nan)
    out[known] = by_topic[number]
    return ratio(out, np.full(f.size, reactions.sum()))


SOURCE: Final = (
    # -- popularity --------------------------------------------------------------------------------------------
    Feature(
        "source_impressions", "source", "popularity", "How often its posts were shown.", "impressions",
        window="popularity_days", absent=0, range=(0, 1e9), value=lambda f: f.total(m.IMPRESSIONS),
    ),
    Feature(
        "source_users", "source", "popularity", "Different users that saw it or reacted to it.", "users",
        window="popularity_days", absent=0, range=(0, 1e9), value=lambda f: f.column(frames.USERS),
    ),
    Feature(
        "source_reactors", "source", "popularity", "Different users that reacted to it.", "users",
        window="popularity_days", absent=0, range=(0, 1e9), value=lambda f: f.column(frames.REACTORS),
    ),
    Feature(
        "source_reactions", "source", "popularity", "Likes, clicks, comments, shares and the like.", "reactions",
        window="popularity_days", absent=0, range=(0, 1e9), value=lambda f: f.total(m.REACTIONS),
    ),
    Feature(
        "source_reaction_rate", "source", "popularity", "Reactions an impression, smoothed towards 0.05.", "reactions an impression",
        window="popularity_days", absent=PRIOR_RATE, range=(0, 1e9),
        value=lambda f: smoothed(f.total(m.REACTIONS), f.total(m.IMPRESSIONS)),
    ),
    Feature(
        "source_ctr", "source", "popularity", "Clicks an impression, smoothed towards 0.05.", "clicks an impression",
        window="popularity_days", absent=PRIOR_RATE, range=(0, 1e9),
        value=lambda f: smoothed(f.total(m.CLICKS), f.total(m.IMPRESSIONS)),
    ),
    Feature(
        "source_hide_rate", "source", "popularity", "Hides an impression.", "hides an impression",
        window="popularity_days", absent=0, range=(0, 1e9), value=lambda f: ratio(f.total(m.HIDES), f.total(m.IMPRESSIONS)),
    ),
    Feature(
        "source_seconds_a_view", "source", "popularity", "Time spent on its posts, an impression.", "seconds an impression",
        window="popularity_days", absent=0, range=(0, 1e6),
        value=lambda f: ratio(f.total(m.DURATION_MS) / 1000, f.total(m.IMPRESSIONS)),
    ),
    Feature(
        "source_subscribes", "source", "popularity", "Users that subscribed to it.", "subscribes",
        window="popularity_days", absent=0, range=(0, 1e9), value=lambda f: f.total(m.SUBSCRIBES),
    ),
    Feature(
        "source_unsubscribes", "source", "popularity", "Users that unsubscribed from it.", "unsubscribes",
        window="popularity_days", absent=0, range=(0, 1e9), value=lambda f: f.total(m.UNSUBSCRIBES),
    ),
    Feature(
        "source_trend", "source", "popularity", "Share of its reactions that fell into the last quarter of the window.", "share",
        window="popularity_days", absent=0, range=(0, 1), value=lambda f: ratio(f.recent(m.REACTIONS, 0.25), f.total(m.REACTIONS)),
    ),
    # -- recency -----------------------------------------------------------------------------------------------
    Feature(
        "source_age_days", "source", "recency", "Days since it was created; 0 where it is unknown.", "days",
        window=None, absent=0, range=(-1e6, 1e6), value=lambda f: f.day - f.column(frames.CREATED_DAY),
        judged="entity", why="it grows by a day a day",
    ),
    Feature(
        "source_days_since_event", "source", "recency", "Days since any user saw it; 999 if none did in the window.", "days",
        window="affinity_days", absent=NEVER, range=(0, 36_600), value=lambda f: f.days_since(m.ALL),
    ),
    # -- social ------------------------------------------------------------------------------------------------
    Feature(
        "source_subscribers", "source", "social", "Users subscribed to it at the end of the day.", "users",
        window=None, absent=0, range=(0, 1e9), value=lambda f: f.column(frames.SUBSCRIBERS),
        judged="change", why="subscribers gather as a source grows older",
    ),
    # -- content -----------------------------------------------------------------------------------------------
    Feature(
        "source_topic_popularity", "source", "content", "Share of all reactions that its topic got.", "share",
        window="affinity_days", absent=0, range=(0, 1), value=_topic_popularity,
        judged="none", why="all sources of a topic share one value: as few independent values as topics",
    ),
    Feature(
        "source_video_share", "source", "content", "Share of its events that are about videos.", "share",
        window="affinity_days", absent=0, range=(0, 1), value=lambda f: ratio(f.total(m.VIDEO_EVENTS), f.total(m.ALL)),
    ),
    Feature(
        "source_photo_share", "source", "content", "Share of its events that are about photos.", "share",
        window="affinity_days", absent=0, range=(0, 1), value=lambda f: ratio(f.total(m.PHOTO_EVENTS), f.total(m.ALL)),
    ),
    Feature(
        "source_text_share", "source", "content", "Share of its events that are about texts.", "share",
        window="affinity_days", absent=0, range=(0, 1), value=lambda f: ratio(f.total(m.TEXT_EVENTS), f.total(m.ALL)),
    ),
)  # fmt: skip
