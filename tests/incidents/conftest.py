"""One real Kafka for the tests of the topic."""

from collections.abc import Iterator

import pytest

from ok_ml.config.models import KafkaConfig
from ok_ml.local.broker.embedded_broker import EmbeddedBroker


@pytest.fixture(scope="package")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A real Kafka. Mark its tests with `@pytest.mark.kafka`."""
    config = KafkaConfig(mode="embedded", bootstrap_servers="127.0.0.1:29840", controller_port=29841, heap_mb=256)
    with EmbeddedBroker(config, tmp_path_factory.mktemp("kafka-state")) as started:
        yield started


@pytest.fixture
def kafka(broker: EmbeddedBroker) -> KafkaConfig:
    return broker.config.model_copy(update={"mode": "external"})
