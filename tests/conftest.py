"""What several packages' tests share: one Spark session and one Kafka broker for the whole run."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.real_kafka import kafka_broker

__all__ = ["kafka_broker", "spark"]

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[SparkSession]":
    """A small local session: two tasks at once, each tried once. Mark its tests with `@pytest.mark.spark`."""
    from ok_ml.config.models import SparkConfig
    from ok_ml.resources.spark import open_spark

    config = SparkConfig(master="local[2]", driver_memory="768m", shuffle_partitions=2)
    session = open_spark(config, tmp_path_factory.mktemp("spark-state"))
    yield session
    session.stop()
