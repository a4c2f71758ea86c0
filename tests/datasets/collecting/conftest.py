"""One real Kafka for these tests, a topic and a lake for each."""

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ok_ml.config.models import DatasetConfig, KafkaConfig
from ok_ml.datasets.collecting import collector as collector_module
from ok_ml.datasets.collecting.collector_process import collect
from ok_ml.datasets.collecting.events_topic import prepare_events_topic
from ok_ml.lake import Lake
from ok_ml.local.broker.embedded_broker import EmbeddedBroker
from tests.datasets.collecting.feed import Event, dataset
from tests.datasets.collecting.in_memory import Log, MadeOf

BROKER_PORT, CONTROLLER_PORT = 29800, 29801


@pytest.fixture(scope="package")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A real Kafka. Mark its tests with `@pytest.mark.kafka`."""
    config = KafkaConfig(
        mode="embedded", bootstrap_servers=f"127.0.0.1:{BROKER_PORT}", controller_port=CONTROLLER_PORT, heap_mb=256
    )
    with EmbeddedBroker(config, tmp_path_factory.mktemp("kafka-state")) as started:
        yield started


@pytest.fixture
def kafka(broker: EmbeddedBroker) -> KafkaConfig:
    return broker.config.model_copy(update={"mode": "external"})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    return re.sub(r"\W+", "-", request.node.name)[:80]


@pytest.fixture
def stream_of(topic: str, kafka: KafkaConfig) -> DatasetConfig:
    """The dataset of this test, its topic made."""
    made = dataset(topic)
    prepare_events_topic(made, kafka)
    return made


Drain = Callable[..., dict[str, Any]]


@pytest.fixture
def drain(kafka: KafkaConfig, lake: Lake) -> Drain:
    """Collect what is there until nothing comes any more."""

    def run(config: DatasetConfig, seconds: float = 0.3, into: Lake = lake) -> dict[str, Any]:
        return collect(config, into, kafka, threading.Event(), until_idle_seconds=seconds)

    return run


@pytest.fixture
def made_of(monkeypatch: pytest.MonkeyPatch) -> MadeOf:
    """Makes a log in memory that the next collector reads."""
    monkeypatch.setattr(collector_module, "prepare_events_topic", lambda *_: "log-1")
    monkeypatch.setattr(collector_module, "_CLOSE_SECONDS", 0.0)

    def make(messages: list[Event | bytes], seed: int) -> Log:
        log = Log(messages, seed)
        monkeypatch.setattr(collector_module, "TopicConsumer", lambda *_, **__: log)
        return log

    return make
