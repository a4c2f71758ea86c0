"""What people did with what they were served on one day: hits of the lists, and reactions to what was shown.

The metrics of lists are those of the offline evaluation (`ranking_metrics`), so that both can be laid side by side::

    <metric>                    reactions of the day on which the list was served
    <metric>/3d                 reactions of that day and the two that follow, as the evaluation counts them
    served_impression_share     posts shown whose source is in the user's list / all posts shown to users with a list
    reaction_rate_<channel>     posts shown that earned a positive reaction on that day / posts shown, of a channel:
                                served (in the list), subscribed (subscribed to when the day began), organic (the rest)

Where the log names the generation because of whose list a post was shown, the effect of the list stands apart from what would
have been shown anyway::

    <metric>/listed             reactions to what was shown because of the list
    <metric>/unlisted           reactions to what was shown for another reason
    reaction_rate_listed        of what was shown because of the list, places that explored left out
    reaction_rate_explored      of places that explored: listed against explored is what the list's choice is worth
    reaction_rate_unlisted      of what was shown for another reason and was not subscribed to

A post that a user was shown several times on a day is one post.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml.quality.ranking.ranking_metrics import EMPTY
from ok_ml.quality.statistics.number_series import Name, Number

if TYPE_CHECKING:
    from numpy.typing import NDArray

SERVED, SUBSCRIBED, ORGANIC = range(3)
CHANNELS: Final = ("served", "subscribed", "organic")
SERVED_SHARE: Final = "served_impression_share"
REACTION_RATE: Final = "reaction_rate_"
ACTIVE_USERS: Final = "active_users"
NO_LIST_SHARE: Final = "users_without_list_share"
UNKNOWN_SEGMENT: Final = "unknown"
LISTED, EXPLORED, UNLISTED = "listed", "explored", "unlisted"
_ROWS_AT_ONCE: Final = 100_000


@dataclass(frozen=True)
class PartDay:
    """What the users with a list in one part did on a day.

    Attributes
    ----------
    segments
        object [n], names.
    metrics
        Name -> float64 [n], NaN for a user without a relevant source.
    active
        bool [n]: came on that day.
    shown, reacted
        int64 [n, 3]: posts by channel, and those of them with a positive reaction.
    covered
        Depth -> int64, sources in the first k of active users.
    strangers
        Users without a list who came.
    reasons
        LISTED, EXPLORED, UNLISTED -> times shown for this reason, and those of them with a positive reaction.
    """

    segments: "NDArray[np.object_]"
    metrics: "Mapping[str, NDArray[np.float64]]"
    active: "NDArray[np.bool_]"
    shown: "NDArray[np.int64]"
    reacted: "NDArray[np.int64]"
    covered: "Mapping[int, NDArray[np.int64]]"
    strangers: int
    reasons: "Mapping[str, tuple[int, int]]" = field(default_factory=dict)


def in_lists(
    lists: "NDArray[np.int64]", rows: "NDArray[np.int64]", sources: "NDArray[np.int64]"
) -> "NDArray[np.bool_]":
    """Whether each source is in the list of its row: bool [m], for lists int64 [n, k] padded with -1."""
    is_member = np.zeros(len(rows), bool)
    for at in range(0, len(rows), _ROWS_AT_ONCE):
        some = slice(at, at + _ROWS_AT_ONCE)
        is_member[some] = (lists[rows[some]] == sources[some, None]).any(axis=1)
    known: NDArray[np.bool_] = is_member & (sources != EMPTY)
    return known


def by_channel(
    users: int,
    rows: "NDArray[np.int64]",
    served: "NDArray[np.bool_]",
    subscribed: "NDArray[np.bool_]",
    counted: "NDArray[np.bool_]",
) -> "NDArray[np.int64]":
    """How many of some posts each user was shown by channel, int64 [users, 3]; what is in the list counts as served.

    Parameters
    ----------
    rows
        int64 [m], the user of each post, below `users`.
    counted
        bool [m], which posts.
    """
    channel = np.select([served, subscribed], [SERVED, SUBSCRIBED], ORGANIC)
    cells = np.bincount((rows * len(CHANNELS) + channel)[counted], minlength=users * len(CHANNELS))
    return cells.reshape(users, len(CHANNELS)).astype(np.int64)


def online_numbers(
    parts: Iterable[PartDay], *, model_version: int, catalogue_size: int, impressions: bool
) -> list[Number]:
    """The numbers of one day, over all users, by segment and by model version.

    Parameters
    ----------
    impressions
        Whether the log says what was shown; else only the metrics of lists are reported.
    """
    parts = list(parts)
    segments, active = (np.concatenate([getattr(one, name) for one in parts]) for name in ("segments", "active"))
    metrics = {name: np.concatenate([one.metrics[name] for one in parts]) for name in parts[0].metrics}
    shown, reacted = (np.concatenate([getattr(one, name) for one in parts]) for name in ("shown", "reacted"))
    everybody = np.ones(len(active), bool)
    groups = {"": everybody, f"model {model_version}": everybody}
    groups |= {f"segment {name}": segments == name for name in sorted(set(segments))}
    numbers: list[Number] = []
    for group, mask in groups.items():
        numbers += _means(group, {name: values[mask] for name, values in metrics.items()})
        numbers.append(Number(Name(ACTIVE_USERS, group), float(active[mask].sum()), int(mask.sum())))
        numbers += _rates(group, shown[mask].sum(axis=0), reacted[mask].sum(axis=0)) if impressions else []
    for reason in dict.fromkeys(reason for one in parts for reason in one.reasons):
        times, good = (sum(one.reasons[reason][i] for one in parts if reason in one.reasons) for i in (0, 1))
        numbers.append(_share(Name(REACTION_RATE + reason), good, times))
    strangers = sum(one.strangers for one in parts)
    numbers.append(_share(Name(NO_LIST_SHARE), strangers, strangers + int(active.sum())))
    return numbers + _coverage(parts, catalogue_size, int(active.sum()))


def headline(name: Name) -> int:
    """`wrong_way` of the few numbers of all users that are reported first."""
    first = name.metric in (SERVED_SHARE, REACTION_RATE + CHANNELS[SERVED]) or name.metric.startswith(
        ("ndcg@", "hit_rate@")
    )
    return wrong_way(name) if first and not name.group else 0


def others(name: Name) -> int:
    """`wrong_way` of all other numbers."""
    return 0 if headline(name) else wrong_way(name)


def wrong_way(name: Name) -> int:
    """Which way a number must not move: -1 down, 0 it is not judged.

    Series of one model version are too young to be judged, those of several days come too late, and coverage and the
    organic channels say nothing of the lists' quality.
    """
    quality = name.metric.split("@")[0] in ("hit_rate", "recall", "ndcg") and "/" not in name.metric
    judged = quality or name.metric in (SERVED_SHARE, REACTION_RATE + CHANNELS[SERVED])
    return -1 if judged and not name.group.startswith("model ") else 0


def _means(group: str, metrics: "Mapping[str, NDArray[np.float64]]") -> list[Number]:
    known = {name: values[~np.isnan(values)] for name, values in metrics.items()}
    return [
        Number(Name(name, group), float(values.mean()) if len(values) else None, len(values))
        for name, values in known.items()
    ]


def _rates(group: str, shown: "NDArray[np.int64]", reacted: "NDArray[np.int64]") -> list[Number]:
    rates = [
        _share(Name(REACTION_RATE + channel, group), int(good), int(posts))
        for channel, good, posts in zip(CHANNELS, reacted, shown, strict=True)
    ]
    return [_share(Name(SERVED_SHARE, group), int(shown[SERVED]), int(shown.sum())), *rates]


def _coverage(parts: list[PartDay], catalogue_size: int, users: int) -> list[Number]:
    numbers = []
    for k in parts[0].covered:
        sources = np.unique(np.concatenate([one.covered[k] for one in parts]))
        value = float((sources != EMPTY).sum() / catalogue_size) if catalogue_size and users else None
        numbers.append(Number(Name(f"coverage@{k}"), value, users))
    return numbers


def _share(name: Name, some: int, of: int) -> Number:
    return Number(name, some / of if of else None, of)
