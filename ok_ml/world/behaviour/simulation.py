"""One block on one day: what is shown, how people react, and what they are subscribed to afterwards."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ok_ml.world.behaviour.exposure import ServedLists, Shown, show
from ok_ml.world.behaviour.reactions import attention, match_of_pairs, sigmoid, utility
from ok_ml.world.population import names
from ok_ml.world.population.network import Block, World
from ok_ml.world.population.subscriptions import Subscriptions
from ok_ml.world.population.surroundings import initial_subscriptions
from ok_ml.world.randomness import POST_IDS, SOURCE_IDS, USER_IDS, Stream, generator, hash64

RAW_EVENTS = pa.schema([
    ("userId", pa.int64()), ("ownerId", pa.int64()), ("objectId", pa.int64()), ("action", pa.string()),
    ("pos", pa.int32()), ("contentType", pa.string()), ("durationMs", pa.int32()), ("timestampMs", pa.int64()),
    ("generation", pa.string()),
])  # fmt: skip
UNNAMED = "unnamed"  # lists that are served without the name of a generation
_DAY_MS = 86_400_000
_SHOW, _CLICK, _LIKE, _COMMENT, _RESHARE, _HIDE, _SUBSCRIBE, _UNSUBSCRIBE, _REQUEST = range(len(names.ACTIONS))
# A positive reaction is one of these: what it consists of, and its share.
_KINDS = ((_CLICK,), (_LIKE,), (_CLICK, _LIKE), (_LIKE, _COMMENT), (_LIKE, _RESHARE), (_CLICK, _COMMENT))
_KIND_SHARES = (0.36, 0.30, 0.21, 0.055, 0.045, 0.03)
# Share of presence by hour of the day, UTC: a morning, a lunch and a long evening.
_HOURS = (2, 1, 1, 1, 2, 3, 5, 7, 7, 6, 6, 7, 8, 7, 6, 6, 7, 9, 11, 13, 13, 11, 8, 4)
_CONTENT_SHARES = ((0.45, 0.25, 0.18, 0.09, 0.03), (0.22, 0.40, 0.25, 0.11, 0.02))  # of a group, of an author
_CONTENT_DWELL = (0.0, 0.25, 0.9, 0.1, -0.3)  # added log time of photo, text, video, link, poll


@dataclass(frozen=True)
class BlockDay:
    """What one day of one block brings.

    Attributes
    ----------
    events
        Rows of `RAW_EVENTS`, in no particular order.
    subscriptions
        The state after the day.
    """

    events: pa.Table
    subscriptions: Subscriptions


@dataclass(frozen=True)
class _Posts:
    """The post behind each impression: object id int64, content type int8, both [m]."""

    id: NDArray[np.int64]
    content: NDArray[np.int8]


def first_subscriptions(world: World, block: int) -> Subscriptions:
    """The state before day 0."""
    whole = world.block(block)
    return Subscriptions(initial_subscriptions(whole.users, world.day_table(0), whole.surroundings.trends(0)))


def simulate_block(
    world: World, block: int, day: int, subscriptions: Subscriptions | None = None, served: ServedLists | None = None
) -> BlockDay:
    """Simulate one day of one block; a pure function of its arguments.

    Parameters
    ----------
    subscriptions
        The state before the day; None: that before day 0.
    served
        What the storage serves to users meanwhile, for the closed loop.
    """
    state = first_subscriptions(world, block) if subscriptions is None else subscriptions
    whole, rng = world.block(block), generator(world.config.seed, Stream.DAY, block, day)
    shown = show(world, whole, day, state, served, rng)
    posts = _posts_of(world, day, shown, rng)
    keys = shown.row << 32 | shown.source
    subscribed = state.contains(keys)
    liking = _liking(world, whole, day, state, shown, subscribed)
    dwell = _dwell_ms(world, liking, posts, rng)
    time = _times(world, day, shown, dwell, rng)
    happened = _reactions(world, shown, liking, subscribed, keys, rng)
    parts = [_rows(whole, shown, posts, time, dwell, action, at) for action, at in happened]
    requests = _friend_requests(world, whole, day, rng)
    generation = served.generation or UNNAMED if served is not None else UNNAMED
    events = _to_table([*parts, requests], world.start_ms(day) + _DAY_MS - 1, generation)
    after = dict(happened)
    return BlockDay(events, state.changed(added=keys[after[_SUBSCRIBE]], removed=keys[after[_UNSUBSCRIBE]]))


def _posts_of(world: World, day: int, shown: Shown, rng: np.random.Generator) -> _Posts:
    """A post of today or of one of the two days before; its content type belongs to the post."""
    sources = world.sources(day)
    u, v = rng.random((2, len(shown.source)))
    age = np.minimum((3 * u**2).astype(np.int64), np.maximum(day - sources.born[shown.source], 0))
    number = (v * sources.posts_a_day[shown.source]).astype(np.int64)
    post = POST_IDS.encode(shown.source << 24 | (day - age + 8) << 4 | number)
    bits = (hash64(world.config.seed, Stream.POSTS, post) >> np.uint64(40)).astype(np.float64) * 2.0**-24
    edges = np.cumsum(np.asarray(_CONTENT_SHARES), axis=1)[sources.is_author[shown.source].astype(np.int64)]
    content = (bits[:, None] >= edges[:, :-1]).sum(axis=1)
    return _Posts(post, content.astype(np.int8))


def _liking(
    world: World, whole: Block, day: int, state: Subscriptions, shown: Shown, subscribed: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Log odds of a positive reaction with full attention, float32 [m]."""
    users, sources = whole.users, world.sources(day)
    niches, weights = users.taste(day)
    match = match_of_pairs(world, sources, shown.source, niches[shown.row], weights[shown.row])
    circles, wanted = state.of_circles(users), users.circle[shown.row] << 32 | shown.source
    mates = np.searchsorted(circles, wanted, side="right") - np.searchsorted(circles, wanted, side="left")
    return utility(world, users, sources, shown.row, shown.source, match, mates, subscribed)


def _dwell_ms(world: World, liking: NDArray[np.float32], posts: _Posts, rng: np.random.Generator) -> NDArray[np.int64]:
    b = world.behaviour
    log_time = np.log(b.dwell_ms) + 0.25 * (liking + 1) + np.asarray(_CONTENT_DWELL)[posts.content]
    dwell: NDArray[np.float64] = np.exp(log_time + b.dwell_spread * rng.standard_normal(len(liking)))
    return np.clip(dwell, 250, 600_000).astype(np.int64)


def _times(
    world: World, day: int, shown: Shown, dwell: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """When each post was shown, ms since 1970: sessions begin by the time of day, posts follow one another."""
    begins = shown.position == 0
    session = np.cumsum(begins) - 1
    cumulative = np.cumsum(dwell) - dwell
    hours = np.concatenate([[0.0], np.cumsum(_HOURS) / sum(_HOURS)])
    start = np.interp(rng.random(int(begins.sum())), hours, np.arange(25) * 3_600_000.0).astype(np.int64)
    shown_ms: NDArray[np.int64] = world.start_ms(day) + start[session] + cumulative - cumulative[begins][session]
    return shown_ms


def _reactions(
    world: World,
    shown: Shown,
    liking: NDArray[np.float32],
    subscribed: NDArray[np.bool_],
    keys: NDArray[np.int64],
    rng: np.random.Generator,
) -> list[tuple[int, NDArray[np.int64]]]:
    """Action code and the impressions that it happened on."""
    b = world.behaviour
    react, kind, follow, dislike = rng.random((4, len(liking)))
    attended = attention(world, shown.position)
    chance = sigmoid(liking)
    positive = react < attended * chance
    which = np.searchsorted(np.cumsum(_KIND_SHARES)[:-1], kind, side="right")
    happened = [(_SHOW, np.arange(len(liking)))]
    for action in (_CLICK, _LIKE, _COMMENT, _RESHARE):
        kinds = np.array([action in members for members in _KINDS])
        happened.append((action, np.flatnonzero(positive & kinds[which])))
    hidden = ~positive & (dislike < attended * b.hide_share * (1 - chance) ** 2)
    happened.append((_HIDE, np.flatnonzero(hidden)))
    happened.append((_SUBSCRIBE, _once(keys, positive & ~subscribed & (follow < b.subscribe_share))))
    happened.append((_UNSUBSCRIBE, _once(keys, hidden & subscribed & (follow < b.unsubscribe_share))))
    return happened


def _once(keys: NDArray[np.int64], chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The first chosen impression of each (user, source)."""
    at = np.flatnonzero(chosen)
    return np.sort(at[np.unique(keys[at], return_index=True)[1]])


def _rows(
    whole: Block,
    shown: Shown,
    posts: _Posts,
    time: NDArray[np.int64],
    dwell: NDArray[np.int64],
    action: int,
    at: NDArray[np.int64],
) -> tuple[NDArray[np.int64], ...]:
    """Columns of the rows of one action; -1 stands for null."""
    seen = np.int64(action == _SHOW)
    delay = (1 - seen) * (dwell[at] * action // len(names.ACTIONS))
    return (
        USER_IDS.encode(whole.users.index[shown.row[at]]),
        SOURCE_IDS.encode(shown.source[at]),
        posts.id[at],
        np.full(len(at), action),
        np.where(seen, shown.position[at], -1),
        posts.content[at].astype(np.int64),
        np.where(seen, dwell[at], -1),
        time[at] + delay,
        seen & shown.listed[at],
    )


def _friend_requests(world: World, whole: Block, day: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], ...]:
    """The requests of friendships that begin today, and some that lead nowhere; source 0, the other user as object.

    A silent user sends no request: their friendships begin without a request in the log.
    """
    edges, users = whole.friendships, whole.users
    able = (users.active > 0) & (users.registered <= day)
    begins = (edges.since == day) & edges.asks & (day > 0) & able[edges.user - users.index[0]]
    stray = np.flatnonzero((rng.random(len(users)) < world.behaviour.stray_requests) & able)
    asks = np.concatenate([edges.user[begins], users.index[stray]])
    asked = np.concatenate([edges.friend[begins], rng.integers(0, world.config.users, len(stray))])
    n, none = len(asks), np.full(len(asks), -1)
    time = world.start_ms(day) + rng.integers(7 * 3_600_000, 23 * 3_600_000, n)
    zero = np.zeros(n, np.int64)
    return USER_IDS.encode(asks), zero, USER_IDS.encode(asked), zero + _REQUEST, none, none, none, time, zero


def _to_table(parts: list[tuple[NDArray[np.int64], ...]], latest_ms: int, generation: str) -> pa.Table:
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    user, source, post, action, position, content, dwell, time, listed = columns
    return pa.table(
        [
            pa.array(user),
            pa.array(source),
            pa.array(post),
            names.words(names.ACTIONS, action),
            pa.array(position.astype(np.int32), mask=position < 0),
            names.words(names.CONTENT_TYPES, content),
            pa.array(dwell.astype(np.int32), mask=dwell < 0),
            pa.array(np.minimum(time, latest_ms)),
            names.words((generation,), listed.astype(np.int64) - 1),
        ],
        schema=RAW_EVENTS,
    )
