"""How much a user likes what they see: the one place where taste turns into a probability."""

import numpy as np
from numpy.typing import NDArray

from ok_ml.world.population.network import World
from ok_ml.world.population.sources import SECOND_TOPIC_WEIGHT, Sources
from ok_ml.world.population.users import BlockUsers
from ok_ml.world.randomness import Stream, hash64, normal


def match_of_pairs(
    world: World,
    sources: Sources,
    source: NDArray[np.int64],
    niches: NDArray[np.int32],
    weights: NDArray[np.float32],
) -> NDArray[np.float32]:
    """The match of taste of n pairs, in [0, 1): interests [n, c] of the user against the source [n]."""
    per_topic, of_niche = world.topics.niches_a_topic, world.behaviour.niche_match
    topics = niches // per_topic
    raw = np.zeros(len(source), np.float32)
    for niche, share in _posts_about(sources, source):
        near = (weights * (niches == niche[:, None])).sum(axis=1) * of_niche
        wide = (weights * (topics == (niche // per_topic)[:, None])).sum(axis=1) * (1 - of_niche)
        raw += share * (near + wide)
    return _saturated(world, raw)


def match_of_all(
    world: World, sources: Sources, niches: NDArray[np.int32], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The match of n users with every source: float32 [n, sources]."""
    per_topic, of_niche = world.topics.niches_a_topic, np.float32(world.behaviour.niche_match)
    by_niche = spread(niches, weights, world.topics.niches)
    by_topic = by_niche.reshape(len(niches), -1, per_topic).sum(axis=2)
    raw = np.zeros((len(niches), len(sources)), np.float32)
    for niche, share in _posts_about(sources, np.arange(len(sources))):
        raw += share * (of_niche * by_niche[:, niche] + (1 - of_niche) * by_topic[:, niche // per_topic])
    return _saturated(world, raw)


def utility(
    world: World,
    users: BlockUsers,
    sources: Sources,
    rows: NDArray[np.int64],
    source: NDArray[np.int64],
    match: NDArray[np.float32],
    mates: NDArray[np.number],
    subscribed: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Log odds of a positive reaction of who pays attention; all arguments broadcast against each other.

    Parameters
    ----------
    rows, source
        Row of the user in the block, index of the source.
    match
        The match of taste.
    mates
        Members of the user's circle that are subscribed to the source.
    subscribed
        Whether the user is.
    """
    b = world.behaviour
    personal = normal(hash64(world.config.seed, Stream.PAIRS, users.index[rows], source))
    odds: NDArray[np.float32] = (
        np.float32(b.base_utility)
        + np.float32(b.match_utility) * match
        + np.float32(b.quality_utility) * sources.quality[source]
        + np.float32(b.pair_utility) * personal
        + np.float32(b.social_utility) * np.log1p(mates, dtype=np.float32)
        + np.float32(b.subscribed_utility) * subscribed
        + users.generosity[rows]
    )
    return odds


def sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / (1 + exp(-x))."""
    odds: NDArray[np.float32] = np.exp(x)
    return odds / (1 + odds)


def attention(world: World, position: NDArray[np.integer]) -> NDArray[np.float64]:
    """The share of attention at a position of the feed."""
    return 1 / (1 + world.behaviour.position_decay * position)


def spread(niches: NDArray[np.int32], weights: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Interests [n, c] as a dense matrix float32 [n, niches]."""
    n = len(niches)
    cell = niches + (np.arange(n) * count)[:, None]
    return np.bincount(cell.ravel(), weights.ravel(), n * count).reshape(n, count).astype(np.float32)


def _saturated(world: World, raw: NDArray[np.float32]) -> NDArray[np.float32]:
    match: NDArray[np.float32] = -np.expm1(np.float32(-world.behaviour.match_saturation) * raw)
    return match


def _posts_about(
    sources: Sources, source: NDArray[np.int64]
) -> tuple[tuple[NDArray[np.int32], NDArray[np.float32]], ...]:
    second = sources.second_niche[source]
    weight = (SECOND_TOPIC_WEIGHT * (second >= 0)).astype(np.float32)
    return (sources.niche[source], 1 - weight), (second, weight)
