"""The topic of a dataset: its name, its partitions, and errors that name events."""

import contextlib
from collections.abc import Iterator
from typing import Final

from ok_ml.config.models import DatasetConfig, KafkaConfig, TopicConfig
from ok_ml.config.sections.topic_models import topic_name
from ok_ml.delivery.kafka.topics import create_topic, require_listening, topic_ids
from ok_ml.errors import EnvironmentFault, ServiceUnavailable, UsageError

_KEPT_BYTES: Final = 1 << 30  # create_topic keeps four times this a partition, within seven days


def topic_config(dataset: DatasetConfig) -> TopicConfig:
    """The section `events.topic` of a dataset.

    Raises
    ------
    UsageError
        Its events do not come from a topic.
    """
    if dataset.events.topic is None:
        raise UsageError(
            f"the events of {dataset.dataset} do not come from a topic (events.path is {dataset.events.path})",
            why="there is nothing to collect",
            remedy="name a dataset whose events.path begins with topic:, such as events_topic",
        )
    return dataset.events.topic


def topic_of_events(dataset: DatasetConfig) -> str:
    """The name of a dataset's topic."""
    return topic_name(dataset.events.path, dataset.dataset)


def prepare_events_topic(dataset: DatasetConfig, kafka: KafkaConfig) -> str:
    """Make the topic if it is not there; returns its id, which a topic made again does not have.

    Raises
    ------
    ServiceUnavailable
        No broker answers.
    EnvironmentFault
        The topic has another number of partitions than the dataset has parts.
    """
    topic = topic_of_events(dataset)
    with about_events(dataset):
        require_listening(kafka)
        create_topic(kafka, topic, dataset.parts, part_bytes=_KEPT_BYTES)
        return topic_ids(kafka, [topic])[topic]


@contextlib.contextmanager
def about_events(dataset: DatasetConfig) -> Iterator[None]:
    """Let errors of the broker name events: those of delivery name predictions."""
    try:
        yield
    except ServiceUnavailable as error:
        raise ServiceUnavailable(
            error.problem,
            why=f"the events of {dataset.dataset} wait in their topic, and none of its days is committed",
            remedy=error.remedy,
        ) from error
    except EnvironmentFault as error:
        raise EnvironmentFault(
            error.problem,
            why=error.why,
            remedy=error.remedy.replace("delivery.partitions (and the dataset's parts)", "the dataset's parts"),
        ) from error
