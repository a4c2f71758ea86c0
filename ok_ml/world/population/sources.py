"""Groups and authors: what they post about, how large they are, when they live, and how their weight moves."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ok_ml.config.models import WorldConfig
from ok_ml.world.parameters import GROWTH_DAYS, Behaviour
from ok_ml.world.randomness import Stream, generator

_BURST_EPOCH_DAYS = 14
SECOND_TOPIC_WEIGHT = 0.3
NEVER = np.int32(2**30)


@dataclass(frozen=True)
class Topics:
    """Topics and their niches.

    Attributes
    ----------
    popularity
        float64 [topics], sums to 1: what sources are about.
    by_age
        float64 [age groups, topics], cumulative: what a user of an age is interested in.
    niches_a_topic
        Every topic has so many niches; niche = topic * niches_a_topic + number.
    """

    popularity: NDArray[np.float64]
    by_age: NDArray[np.float64]
    niches_a_topic: int

    @property
    def niches(self) -> int:
        """Niches in all."""
        return len(self.popularity) * self.niches_a_topic


@dataclass(frozen=True)
class Sources:
    """Static truth about sources, one entry a source, by index.

    Attributes
    ----------
    niche, second_niche
        int32 [n]; second_niche is -1 for a source of one topic.
    size, quality
        float64 [n] heavy-tailed weight; float32 [n] standard normal.
    born, ended
        int32 [n], first day alive and first day dead.
    posts_a_day, is_author, topic_known, wave
        int8 [n]; bool [n]; bool [n]; float32 [n, 3]: size, period in days, phase of the source's own wave.
    """

    niche: NDArray[np.int32]
    second_niche: NDArray[np.int32]
    size: NDArray[np.float64]
    quality: NDArray[np.float32]
    born: NDArray[np.int32]
    ended: NDArray[np.int32]
    posts_a_day: NDArray[np.int8]
    is_author: NDArray[np.bool_]
    topic_known: NDArray[np.bool_]
    wave: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.niche)


def make_topics(config: WorldConfig, behaviour: Behaviour, age_groups: int) -> Topics:
    """Topics of a world: popularity falls with rank^-0.5; each age group has its own leanings."""
    rng = generator(config.seed, Stream.TOPICS)
    popularity = np.arange(1, config.topics + 1, dtype=np.float64) ** -0.5
    popularity /= popularity.sum()
    leaning = popularity * np.exp(0.9 * rng.standard_normal((age_groups, config.topics)))
    by_age = np.cumsum(leaning / leaning.sum(axis=1, keepdims=True), axis=1)
    niches = round(config.sources / (config.topics * behaviour.sources_a_niche))
    return Topics(popularity, by_age, int(np.clip(niches, 1, 12)))


def chunk_of_sources(config: WorldConfig, behaviour: Behaviour, topics: Topics, chunk: int) -> Sources:
    """Sources of chunk 0 (alive or born in the first 28 days), or those born in the chunk-th 28 days after."""
    rng = generator(config.seed, Stream.SOURCES, chunk)
    births = max(1, round(config.sources * behaviour.born_later_share))
    n = config.sources if chunk == 0 else births
    index = np.arange(n)
    kept = index < (2 * topics.niches if chunk == 0 else 0)  # every niche has two sources that stay
    niche = np.where(kept, index % topics.niches, _draw_niches(rng, topics, n)).astype(np.int32)
    second = np.where(rng.random(n) < behaviour.second_topic_share, _draw_niches(rng, topics, n), -1).astype(np.int32)
    second[second // topics.niches_a_topic == niche // topics.niches_a_topic] = -1
    size = (1.0 - rng.random(n)) ** -behaviour.source_size_exponent
    born = rng.integers(chunk * GROWTH_DAYS, (chunk + 1) * GROWTH_DAYS, n)
    if chunk == 0:
        born = np.where(kept | (rng.random(n) >= behaviour.born_later_share), 0, np.maximum(born, 1))
    ended = born + 3 + np.floor(rng.exponential(behaviour.source_life_days, n))
    wave = np.stack(
        [behaviour.wave_size * 2**0.5 * np.abs(rng.standard_normal(n)), rng.uniform(10, 40, n), rng.random(n)], axis=1
    )
    return Sources(
        niche=niche,
        second_niche=second,
        size=np.minimum(size, n**behaviour.source_size_exponent),
        quality=rng.standard_normal(n).astype(np.float32),
        born=born.astype(np.int32),
        ended=np.where(kept, NEVER, ended).astype(np.int32),
        posts_a_day=np.minimum(1 + rng.poisson(0.8 * np.log1p(size)), 14).astype(np.int8),
        is_author=rng.random(n) < 0.35,
        topic_known=rng.random(n) >= behaviour.topic_missing_share,
        wave=wave.astype(np.float32),
    )


def joined(chunks: list[Sources]) -> Sources:
    """Chunks one after another: an index never changes when later chunks join."""
    return Sources(**{f.name: np.concatenate([getattr(chunk, f.name) for chunk in chunks]) for f in fields(Sources)})


def day_weights(config: WorldConfig, behaviour: Behaviour, sources: Sources, day: int) -> NDArray[np.float64]:
    """How much each source is around on a day: float64 [n], 0 for the unborn and the dead.

    Size, times the source's own wave, times (1 + bursts + novelty).
    """
    alive = (sources.born <= day) & (day < sources.ended)
    size, period, phase = sources.wave.astype(np.float64).T
    age = np.maximum(day - sources.born, 0)
    novelty = np.where(sources.born > 0, behaviour.novelty_factor * np.exp(-age / 6.0), 0.0)
    wave = np.exp(size * np.sin(2 * np.pi * (day / period + phase)))
    lifted = 1.0 + novelty + _bursts(config, behaviour, sources, day)
    return np.where(alive, sources.size * wave * lifted, 0.0)


def _bursts(config: WorldConfig, behaviour: Behaviour, sources: Sources, day: int) -> NDArray[np.float64]:
    total = np.zeros(len(sources))
    for epoch in range(max(day // _BURST_EPOCH_DAYS - 1, 0), day // _BURST_EPOCH_DAYS + 1):
        draws = generator(config.seed, Stream.BURSTS, 0, epoch).random((len(sources), 2))  # prefix-stable: row by row
        since = day - (epoch + draws[:, 1]) * _BURST_EPOCH_DAYS
        running = (draws[:, 0] < behaviour.burst_share) & (since >= 0)
        total += np.where(running, behaviour.burst_factor * np.exp(-np.maximum(since, 0) / behaviour.burst_days), 0.0)
    return total


def _draw_niches(rng: np.random.Generator, topics: Topics, n: int) -> NDArray[np.int64]:
    topic = np.searchsorted(np.cumsum(topics.popularity), rng.random(n) * (1 - 1e-12), side="right")
    topic = np.minimum(topic, len(topics.popularity) - 1)
    return topic * topics.niches_a_topic + rng.integers(0, topics.niches_a_topic, n)


class DayTable:
    """What can be shown on one day, ready to be drawn from.

    Attributes
    ----------
    sources
        The sources born in or before the 28 days of this day.
    weight
        float64 [n], see `day_weights`.
    """

    def __init__(self, sources: Sources, weight: NDArray[np.float64], niches: int, exponent: float) -> None:
        self.sources, self.weight = sources, weight
        self.alive = np.flatnonzero(weight > 0)
        self._by_weight = np.cumsum(weight)
        self.current = NicheTable(sources, weight, niches)
        self.long_tail = NicheTable(sources, weight**exponent * (weight > 0), niches)

    def popular(self, u: NDArray[np.float64]) -> NDArray[np.int64]:
        """A source for each uniform number, by weight."""
        drawn = np.searchsorted(self._by_weight, u * self._by_weight[-1], side="right")
        bounded: NDArray[np.int64] = np.minimum(drawn, self.alive[-1])
        return bounded

    def any_source(self, u: NDArray[np.float64]) -> NDArray[np.int64]:
        """A living source for each uniform number, all alike."""
        drawn: NDArray[np.int64] = self.alive[(u * len(self.alive)).astype(np.int64)]
        return drawn


class NicheTable:
    """Sources by niche, to be drawn by weight within a niche."""

    def __init__(self, sources: Sources, weight: NDArray[np.float64], niches: int) -> None:
        n = len(sources)
        two = np.flatnonzero(sources.second_niche >= 0)
        entry_source = np.concatenate([np.arange(n), two])
        entry_niche = np.concatenate([sources.niche, sources.second_niche[two]])
        share = np.ones(n)
        share[two] = 1 - SECOND_TOPIC_WEIGHT
        entry_weight = np.concatenate([weight * share, weight[two] * SECOND_TOPIC_WEIGHT])
        order = np.lexsort((entry_source, entry_niche))
        order = order[entry_weight[order] > 0]
        self._source = entry_source[order]
        self._cumulative = np.concatenate([[0.0], np.cumsum(entry_weight[order])])
        self._bounds = np.searchsorted(entry_niche[order], np.arange(niches + 1))
        self.total = self._cumulative[self._bounds[1:]] - self._cumulative[self._bounds[:-1]]
        self.main = weight * share
        self.second = np.where(sources.second_niche >= 0, weight * SECOND_TOPIC_WEIGHT, 0.0)

    def draw(self, niche: NDArray[np.integer], u: NDArray[np.float64]) -> NDArray[np.int64]:
        """A source of each niche by weight; niches have at least one living source."""
        first, last = self._bounds[niche], self._bounds[niche + 1]
        target = self._cumulative[first] + u * self.total[niche]
        place = np.searchsorted(self._cumulative, target, side="right") - 1
        drawn: NDArray[np.int64] = self._source[np.clip(place, first, last - 1)]
        return drawn
