"""Posts of the simulated network: short texts in Russian or English, drawn from the vocabulary of their topic.

They are simulated, and say so. The planted truth is the topic that a post is about; what its dataset gets as a label is what
moderators said, of some of the posts and not always rightly.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ok_ml.config.models import TextsConfig
from ok_ml.lake import Lake, Manifest
from ok_ml.world.log.contents import row_hashes, sum_of_rows
from ok_ml.world.log.raw_log import config_version
from ok_ml.world.population.names import TOPICS
from ok_ml.world.population.network import World
from ok_ml.world.randomness import POST_IDS, SOURCE_IDS, Stream, generator

POSTS: Final = "raw_posts"
TRUTH: Final = "true_topics"  # only evaluation may read it
CODE_VERSION: Final = "1"
POSTS_A_SOURCE: Final = 0.4  # and day
LABELLED: Final = 0.35  # share of the posts that a moderator has looked at
MISTAKEN: Final = 0.03  # share of the labels that are wrong
ENGLISH: Final = 0.3  # share of the sources that write English
_OFF_TOPIC: Final = 0.1  # share of the posts about another topic than their source's
_WORDS: Final = (6, 26)  # fewest and, exclusively, most words of a post
_ON_TOPIC_WORDS: Final = 0.32  # share of the words that come from the topic's vocabulary
_BORROWED: Final = 0.06  # share of the words that come from another topic's
_FILE: Final = Path(__file__).with_name("topic_words.txt")


def ensure_posts(
    dataset: TextsConfig, lake: Lake, dts: Sequence[str], *, progress: Callable[[str], None] | None = None
) -> list[Manifest]:
    """Simulate the posts of some days where they are missing or of another world; the manifests of the raw posts."""
    assert dataset.world is not None  # noqa: S101 - the caller asks only where there is one
    world = World(dataset.world, dataset.parts)
    for dt in sorted(dts):
        if not _stays(world, lake, dataset.dataset, dt):
            posts, truth = posts_of(world, world.day_of(dt))
            for table, rows in ((TRUTH, truth), (POSTS, posts)):
                with lake.staged(dataset.dataset, table, dt) as folder:
                    pq.write_table(rows, folder / "all.parquet", compression="zstd")
                    version = sum_of_rows(row_hashes(rows))
                    lake.commit(folder, rows=rows.num_rows, data_version=version, inputs=_inputs(world))
            if progress:
                progress(f"{dataset.dataset} {dt}: simulated {posts.num_rows:,} posts")
    return [lake.manifest(dataset.dataset, POSTS, dt) for dt in sorted(dts)]


def days_to_simulate(dataset: TextsConfig, lake: Lake, dts: Sequence[str]) -> list[str]:
    """Those of some days whose posts are missing or of another world, ascending."""
    if dataset.world is None:
        return []
    world = World(dataset.world, dataset.parts)
    return [dt for dt in sorted(dts) if not _stays(world, lake, dataset.dataset, dt)]


def posts_of(world: World, day: int) -> tuple[pa.Table, pa.Table]:
    """The posts of a day in raw columns, and their true topics.

    Returns
    -------
    postId int64, ownerId int64, text, moderatedTopic (null where no moderator looked), createdMs int64; and postId, topic.
    """
    alive, sources = world.day_table(day).alive, world.sources(day)
    count = int(len(alive) * POSTS_A_SOURCE)
    draw = generator(world.config.seed, Stream.TEXTS, 0, day)
    owner = alive[draw.integers(0, len(alive), count)]
    topics = min(world.config.topics, len(TOPICS))
    own = sources.niche[owner] // world.topics.niches_a_topic % topics
    topic = np.where(draw.random(count) < _OFF_TOPIC, draw.integers(0, topics, count), own)
    said = np.where(draw.random(count) < MISTAKEN, draw.integers(0, topics, count), topic)
    looked = draw.random(count) < LABELLED
    english = generator(world.config.seed, Stream.TEXTS, 1).random(int(owner.max(initial=0)) + 1)[owner] < ENGLISH
    texts = _texts(draw, topic, topics, english)
    ids = POST_IDS.encode(np.arange(count, dtype=np.int64) + (day << 32))
    names = np.array(TOPICS[:topics])
    posts = pa.table(
        {
            "postId": pa.array(ids),
            "ownerId": pa.array(SOURCE_IDS.encode(owner)),
            "text": pa.array(texts, pa.string()),
            "moderatedTopic": pa.array(names[said].tolist(), pa.string(), mask=~looked),
            "createdMs": pa.array(world.start_ms(day) + np.sort(draw.integers(0, 86_400_000, count))),
        }
    )
    return posts, pa.table({"postId": pa.array(ids), "topic": pa.array(names[topic].tolist(), pa.string())})


def _texts(draw: np.random.Generator, topic: NDArray[np.int64], topics: int, english: NDArray[np.bool_]) -> list[str]:
    """Words of the post's topic among words of any post and some of other topics."""
    vocabulary, common = vocabularies()
    made = []
    for about, is_english in zip(topic.tolist(), english.tolist(), strict=True):
        size = int(draw.integers(*_WORDS))
        source, pick, other = draw.random(size), draw.integers(0, 1 << 30, size), draw.integers(0, topics, size)
        language = int(is_english)
        pools = [
            vocabulary[TOPICS[about]][language]
            if u < _ON_TOPIC_WORDS
            else vocabulary[TOPICS[away]][language]
            if u < _ON_TOPIC_WORDS + _BORROWED
            else common[language]
            for u, away in zip(source.tolist(), other.tolist(), strict=True)
        ]
        words = [pool[number % len(pool)] for pool, number in zip(pools, pick.tolist(), strict=True)]
        made.append(" ".join(words).capitalize() + ("!", ".", "?", "...")[int(pick[0]) % 4])
    return made


@cache
def vocabularies() -> tuple[dict[str, tuple[list[str], list[str]]], tuple[list[str], list[str]]]:
    """Topic -> its words in Russian and in English; and the words of any post in both."""
    topics: dict[str, tuple[list[str], list[str]]] = {}
    for line in _FILE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, words = line.partition(":")
            russian, _, english = words.partition("|")
            topics[name] = (russian.split(), english.split())
    return topics, topics.pop("*")


def _inputs(world: World) -> dict[str, str]:
    return {"code": CODE_VERSION, "config": config_version(world.config)}


def _stays(world: World, lake: Lake, scope: str, dt: str) -> bool:
    return all(lake.is_current(scope, table, dt, _inputs(world)) for table in (TRUTH, POSTS))
