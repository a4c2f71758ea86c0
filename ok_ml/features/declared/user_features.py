"""Features of a user: one declaration each. `f` is a UserFrame."""

from typing import Final

from ok_ml.features.declared.feature import NEVER, Feature
from ok_ml.features.declared.formulas import PRIOR_RATE, entropy_bits, largest_share, ratio, smoothed
from ok_ml.features.history import frames
from ok_ml.features.history import measures as m

USER: Final = (
    # -- activity ----------------------------------------------------------------------------------------------
    Feature(
        "user_events", "user", "activity", "Everything the user saw or did.", "events",
        window="activity_days", absent=0, range=(0, 1e9), value=lambda f: f.total(m.ALL),
    ),
    Feature(
        "user_active_days", "user", "activity", "Days on which the user saw or did anything.", "days",
        window="activity_days", absent=0, range=(0, 36_600), value=lambda f: f.days_with(m.ALL),
    ),
    Feature(
        "user_active_hours", "user", "activity", "Different hours with an event: roughly the user's visits.", "hours",
        window="activity_days", absent=0, range=(0, 24 * 36_600), value=lambda f: f.distinct(f.hour, m.ALL),
    ),
    Feature(
        "user_impressions", "user", "activity", "Posts that the user was shown.", "impressions",
        window="activity_days", absent=0, range=(0, 1e9), value=lambda f: f.total(m.IMPRESSIONS),
    ),
    Feature(
        "user_reactions", "user", "activity", "Likes, clicks, comments, shares and the like.", "reactions",
        window="activity_days", absent=0, range=(0, 1e9), value=lambda f: f.total(m.REACTIONS),
    ),
    Feature(
        "user_reaction_rate", "user", "activity", "Reactions an impression, smoothed towards 0.05.", "reactions an impression",
        window="activity_days", absent=PRIOR_RATE, range=(0, 1e9), value=lambda f: smoothed(f.total(m.REACTIONS), f.total(m.IMPRESSIONS)),
    ),
    Feature(
        "user_comments", "user", "activity", "Comments that the user wrote.", "comments",
        window="activity_days", absent=0, range=(0, 1e9), value=lambda f: f.total(m.COMMENTS),
    ),
    Feature(
        "user_hides", "user", "activity", "Posts that the user hid.", "hides",
        window="activity_days", absent=0, range=(0, 1e9), value=lambda f: f.total(m.HIDES),
    ),
    Feature(
        "user_minutes_a_day", "user", "activity", "Time spent on posts on an active day.", "minutes a day",
        window="activity_days", absent=0, range=(0, 1e6),
        value=lambda f: ratio(f.total(m.DURATION_MS) / 60_000, f.days_with(m.ALL)),
    ),
    # -- affinity ----------------------------------------------------------------------------------------------
    Feature(
        "user_sources", "user", "affinity", "Different sources whose posts the user saw or reacted to.", "sources",
        window="affinity_days", absent=0, range=(0, 1e9), value=lambda f: f.distinct(f.source, m.SOURCE_EVENTS),
    ),
    Feature(
        "user_new_source_share", "user", "affinity", "Share of reactions on sources that the user is not subscribed to.", "share",
        window="affinity_days", absent=0, range=(0, 1),
        value=lambda f: ratio(f.total(m.REACTIONS, where=~f.subscribed), f.total(m.REACTIONS)),
    ),
    Feature(
        "user_top_source_share", "user", "affinity", "Share of the weighted reactions on the user's first source.", "share",
        window="affinity_days", absent=0, range=(0, 1), value=lambda f: ratio(f.peak(m.WEIGHT), f.total(m.WEIGHT)),
    ),
    # -- recency -----------------------------------------------------------------------------------------------
    Feature(
        "user_days_since_event", "user", "recency", "Days since the user was last seen; 999 if not in the window.", "days",
        window="affinity_days", absent=NEVER, range=(0, 36_600), value=lambda f: f.days_since(m.ALL),
    ),
    Feature(
        "user_days_since_reaction", "user", "recency", "Days since the last reaction; 999 if none in the window.", "days",
        window="affinity_days", absent=NEVER, range=(0, 36_600), value=lambda f: f.days_since(m.REACTIONS),
    ),
    Feature(
        "user_age_days", "user", "recency", "Days since registration; 0 where it is unknown.", "days",
        window=None, absent=0, range=(-1e6, 1e6), value=lambda f: f.day - f.column(frames.REGISTERED_DAY),
        judged="entity", why="it grows by a day a day",
    ),
    # -- social ------------------------------------------------------------------------------------------------
    Feature(
        "user_friends", "user", "social", "Friends at the end of the day.", "friends",
        window=None, absent=0, range=(0, 1e9), value=lambda f: f.column(frames.FRIENDS),
        judged="change", why="friends gather as a user grows older",
    ),
    Feature(
        "user_subscriptions", "user", "social", "Sources that the user is subscribed to.", "sources",
        window=None, absent=0, range=(0, 1e9), value=lambda f: f.column(frames.SUBSCRIPTIONS),
        judged="change", why="subscriptions gather as a user grows older",
    ),
    Feature(
        "user_friends_events", "user", "social", "Mean number of events of the user's friends.", "events a friend",
        window="popularity_days", absent=0, range=(0, 1e9),
        value=lambda f: ratio(f.column(frames.FRIENDS_EVENTS), f.column(frames.FRIENDS)),
    ),
    Feature(
        "user_friends_subscriptions", "user", "social", "Mean number of subscriptions of the user's friends.", "sources a friend",
        window=None, absent=0, range=(0, 1e9),
        value=lambda f: ratio(f.column(frames.FRIENDS_SUBSCRIPTIONS), f.column(frames.FRIENDS)),
        judged="change", why="subscriptions gather as users grow older",
    ),
    Feature(
        "user_friend_requests", "user", "social", "Friend requests that the user sent.", "requests",
        window="popularity_days", absent=0, range=(0, 1e9), value=lambda f: f.total(m.FRIEND_REQUESTS),
    ),
    # -- content -----------------------------------------------------------------------------------------------
    Feature(
        "user_topic_entropy", "user", "content", "Entropy of the weighted reactions over topics; 0 is a single topic.", "bits",
        window="affinity_days", absent=0, range=(0, 16), value=lambda f: entropy_bits(f.by_topic(m.WEIGHT)),
    ),
    Feature(
        "user_top_topic_share", "user", "content", "Share of the weighted reactions on the user's first topic.", "share",
        window="affinity_days", absent=0, range=(0, 1), value=lambda f: largest_share(f.by_topic(m.WEIGHT)),
    ),
    Feature(
        "user_video_share", "user", "content", "Share of reactions on videos.", "share",
        window="affinity_days", absent=0, range=(0, 1), value=lambda f: ratio(f.total(m.VIDEO_REACTIONS), f.total(m.REACTIONS)),
    ),
    Feature(
        "user_photo_share", "user", "content", "Share of reactions on photos.", "share",
        window="affinity_days", absent=0, range=(0, 1), value=lambda f: ratio(f.total(m.PHOTO_REACTIONS), f.total(m.REACTIONS)),
    ),
    Feature(
        "user_text_share", "user", "content", "Share of reactions on texts.", "share",
        window="affinity_days", absent=0, range=(0, 1), value=lambda f: ratio(f.total(m.TEXT_REACTIONS), f.total(m.REACTIONS)),
    ),
)  # fmt: skip
