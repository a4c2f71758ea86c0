"""How events that arrive on a Kafka topic become days: the `topic` section below `events`."""

from typing import Final

from pydantic import Field

from ok_ml.config.sections.frozen import Frozen

TOPIC_SCHEME: Final = "topic:"  # a path topic:NAME, or topic: for the topic <dataset>.events
TOPIC_SUFFIX: Final = ".events"
DAY_SECONDS: Final = 86_400.0


class TopicConfig(Frozen):
    """When a day of a topic is complete, and how often what has come is written down.

    The watermark is the smallest, over the topic's partitions, of the largest event time that each has brought. A partition
    does not hold it while it is read to its end and has brought nothing for `idle_seconds`; when that is so of all of them
    the wall clock is the watermark. A day closes when the watermark is `lateness_seconds` past its end.
    """

    lateness_seconds: float = Field(
        default=3600.0, ge=0, description="Event time by which the watermark must have passed a day's end, seconds."
    )
    idle_seconds: float = Field(
        default=60.0, gt=0, description="Wall time after which a partition without new events holds no day, seconds."
    )
    batch_messages: int = Field(default=20_000, ge=1, description="Messages that are written down together at most.")
    batch_seconds: float = Field(
        default=5.0, gt=0, description="Wall time that a message waits at most before it is written down, seconds."
    )
    recommit_seconds: float = Field(
        default=60.0, ge=0, description="Least wall time between two commits of a closed day with late events, seconds."
    )
    future_seconds: float | None = Field(
        default=DAY_SECONDS, ge=0, description="Events dated further than this beyond now are set aside; null: none."
    )
    played_from: str | None = Field(
        default=None, description="The simulated dataset whose log `ok-ml play` sends to the topic."
    )


def is_topic(path: str) -> bool:
    """Whether a path names a Kafka topic."""
    return path.startswith(TOPIC_SCHEME)


def topic_name(path: str, dataset: str) -> str:
    """The topic behind a path `topic:NAME` or `topic:`."""
    return path.removeprefix(TOPIC_SCHEME) or f"{dataset}{TOPIC_SUFFIX}"
