"""Features of a user with a source: one declaration each. `f` is a Frame whose cells are the user's events with the source.

A pair without an event in its windows has no row, which means each feature's absent value.
"""

from typing import Final

from ok_ml.features.declared.feature import NEVER, Feature
from ok_ml.features.declared.formulas import PRIOR_RATE, smoothed
from ok_ml.features.history import frames
from ok_ml.features.history import measures as m
from ok_ml.features.history.event_log import WEIGHT_SCALE

PAIR: Final = (
    # -- affinity ----------------------------------------------------------------------------------------------
    Feature(
        "pair_weight", "pair", "affinity", "Reactions weighted by the dataset's strength of interest.", "weight",
        window="affinity_days", absent=0, range=(0, 1e9), value=lambda f: f.total(m.WEIGHT) / WEIGHT_SCALE,
    ),
    Feature(
        "pair_impressions", "pair", "affinity", "Posts of the source that the user was shown.", "impressions",
        window="affinity_days", absent=0, range=(0, 1e9), value=lambda f: f.total(m.IMPRESSIONS),
    ),
    Feature(
        "pair_reactions", "pair", "affinity", "Reactions of the user to the source.", "reactions",
        window="affinity_days", absent=0, range=(0, 1e9), value=lambda f: f.total(m.REACTIONS),
    ),
    Feature(
        "pair_clicks", "pair", "affinity", "Clicks of the user on the source.", "clicks",
        window="affinity_days", absent=0, range=(0, 1e9), value=lambda f: f.total(m.CLICKS),
    ),
    Feature(
        "pair_ctr", "pair", "affinity", "Clicks an impression, smoothed towards 0.05.", "clicks an impression",
        window="affinity_days", absent=PRIOR_RATE, range=(0, 1e9), value=lambda f: smoothed(f.total(m.CLICKS), f.total(m.IMPRESSIONS)),
    ),
    Feature(
        "pair_seconds", "pair", "affinity", "Time that the user spent on posts of the source.", "seconds",
        window="affinity_days", absent=0, range=(0, 1e9), value=lambda f: f.total(m.DURATION_MS) / 1000,
    ),
    Feature(
        "pair_hides", "pair", "affinity", "Posts of the source that the user hid.", "hides",
        window="affinity_days", absent=0, range=(0, 1e9), value=lambda f: f.total(m.HIDES),
    ),
    # -- recency -----------------------------------------------------------------------------------------------
    Feature(
        "pair_days_since_reaction", "pair", "recency", "Days since the user's last reaction to it; 999 if none.", "days",
        window="affinity_days", absent=NEVER, range=(0, 36_600), value=lambda f: f.days_since(m.REACTIONS),
    ),
    Feature(
        "pair_days_since_impression", "pair", "recency", "Days since the user was last shown it; 999 if not.", "days",
        window="affinity_days", absent=NEVER, range=(0, 36_600), value=lambda f: f.days_since(m.IMPRESSIONS),
    ),
    # -- social ------------------------------------------------------------------------------------------------
    Feature(
        "pair_friends_subscribed", "pair", "social", "Friends subscribed to it, if the user met it in the window.", "friends",
        window=None, absent=0, range=(0, 1e9), value=lambda f: f.column(frames.FRIENDS_SUBSCRIBED),
        judged="change", why="friends' subscriptions gather as they grow older",
    ),
)  # fmt: skip
