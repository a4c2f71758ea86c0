import contextlib
import time
import uuid

import pyarrow as pa
import pytest

from ok_ml.config.models import KafkaConfig
from ok_ml.delivery.codec import FALLBACK_KEY, Kind, decode_prediction, prediction_bytes, unpack_prefix
from ok_ml.delivery.control import Control, hex_checksum, open_control
from ok_ml.delivery.kafka.producer import PartitionProducer
from ok_ml.delivery.payloads import RankedListPayload
from ok_ml.delivery.publisher import (
    Publication,
    prepare_topic,
    publish_generation,
    publish_part,
    total_checksum,
)
from ok_ml.delivery.reading import stored_value
from ok_ml.errors import DataError, ServiceUnavailable
from tests.delivery.made_up import KEY, PARTS, SOURCES, USERS, catalogue_table, fallback_table, lists_table, users_of

NOBODY = KafkaConfig(mode="external", bootstrap_servers="127.0.0.1:21125")


def publication(kafka: KafkaConfig, experiment: str = "", **more) -> Publication:
    return Publication(
        kafka, experiment or f"e{uuid.uuid4().hex[:8]}", 10, PARTS, 7, KEY, {"data_dt": "2026-01-31"}, **more
    )


def load(part: int) -> pa.Table:
    return lists_table(users_of(part), 10)


def consumed(config: KafkaConfig, topic: str, part: int) -> list[tuple[bytes, bytes]]:
    """Every record of a partition."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    consumer = Consumer(
        {"bootstrap.servers": config.bootstrap_servers, "group.id": "test", "enable.auto.commit": False}
    )
    try:
        high = _end_of(consumer, topic, part)
        consumer.assign([TopicPartition(topic, part, OFFSET_BEGINNING)])
        found: list[tuple[bytes, bytes]] = []
        deadline = time.monotonic() + 15
        while len(found) < high and time.monotonic() < deadline:
            found += [(m.key(), m.value()) for m in consumer.consume(1000, 0.2) if m.error() is None]
        return found
    finally:
        consumer.close()


def _end_of(consumer, topic: str, part: int) -> int:
    """The end of a partition; a topic that was just made has no leader for a moment."""
    from confluent_kafka import KafkaException, TopicPartition

    for _ in range(50):
        with contextlib.suppress(KafkaException):
            return consumer.get_watermark_offsets(TopicPartition(topic, part), timeout=10)[1]
        time.sleep(0.1)
    raise AssertionError(f"{topic} [{part}] has no leader")


def test_a_part_without_users_and_sources_holds_the_fallback_list_alone():
    """Ten users, or two sources, do not fill every part."""
    control = Control("e", 10, 2, PARTS, uuid.uuid4().hex, 7, 0, 0, 0, "")
    nobody, nothing = lists_table(users_of(2)[:0], 10), catalogue_table().slice(0, 0)
    batches = list(RankedListPayload(nothing, fallback_table(10)).batches(control, nobody))
    (key,) = [key for keys, _ in batches for key in keys]
    (value,) = [value for _, values in batches for value in values]
    assert (key, unpack_prefix(value).kind) == (FALLBACK_KEY, Kind.FALLBACK)


def test_a_list_without_sources_is_a_record_like_any_other():
    """Of a user who is subscribed to everything."""
    control = Control("e", 10, 2, PARTS, uuid.uuid4().hex, 7, 0, 0, 0, "")
    empty = lists_table(users_of(2)[:3], 10, length=0)
    (_, values), *_ = RankedListPayload(catalogue_table(), fallback_table(10)).batches(control, empty)
    assert [decode_prediction(value).source_ids.tolist() for value in values] == [[], [], []]


@pytest.mark.kafka
def test_the_log_holds_what_the_receipt_says(kafka_broker):
    job = publication(kafka_broker.config)
    assert prepare_topic(job, len(USERS), prediction_bytes(5))
    receipt = publish_part(
        job,
        1,
        load(1).take(list(reversed(range(len(users_of(1)))))),
        RankedListPayload(catalogue_table(), fallback_table(10)),
    )
    records = consumed(job.kafka, job.topic, 1)
    values, (_, last) = records[:-1], records[-1]
    assert [unpack_prefix(value).kind for _, value in records] == (
        [Kind.PREDICTION] * receipt.predictions + [Kind.CATALOGUE] * receipt.sources + [Kind.FALLBACK, Kind.CONTROL]
    )
    keys = [key for key, _ in values[: receipt.predictions]]
    assert keys == sorted(keys), "ascending, whatever the order of the rows"
    assert receipt.predictions == len(users_of(1))
    assert receipt.count == len(values) == receipt.predictions + receipt.sources + 1
    assert receipt.bytes == sum(len(key) + len(value) for key, value in values)
    assert receipt.checksum == hex_checksum(sum(stored_value(key, value)[1] for key, value in values))
    control = open_control(last, KEY)
    assert (control.count, control.checksum, control.attempt) == (receipt.count, receipt.checksum, receipt.attempt)
    assert (control.parts, control.part, control.details) == (PARTS, 1, {"data_dt": "2026-01-31"})


@pytest.mark.kafka
def test_a_generation_is_published_whole_by_threads_and_part_by_part_alike(kafka_broker):
    job = publication(kafka_broker.config)
    prepare_topic(job, len(USERS), prediction_bytes(5))
    seen = []
    receipts = publish_generation(
        job,
        load,
        RankedListPayload(catalogue_table(), fallback_table(10)),
        threads=3,
        progress=lambda *n: seen.append(n),
    )
    assert [receipt.part for receipt in receipts] == list(range(PARTS))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert sum(receipt.predictions for receipt in receipts) == len(USERS)
    assert sum(receipt.sources for receipt in receipts) == len(SOURCES)
    again = [
        publish_part(job, part, load(part), RankedListPayload(catalogue_table(), fallback_table(10)))
        for part in range(PARTS)
    ]
    assert [(one.count, one.checksum) for one in again] != [(one.count, one.checksum) for one in receipts]
    assert [one.count for one in again] == [receipt.count for receipt in receipts]
    assert not {one.attempt for one in again} & {receipt.attempt for receipt in receipts}


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("predictions", "fallback", "match"),
    [
        (lists_table(users_of(2), 10), fallback_table(10), "do not belong to part 0 of 4"),
        (pa.concat_tables([load(0), load(0).slice(3, 2)]), fallback_table(10), "2 of .* user_id come twice in part 0"),
        (load(0), fallback_table(10).slice(0, 0), "the fallback has 0 rows"),
    ],
)
def test_wrong_rows_are_refused_before_the_control_record(kafka_broker, predictions, fallback, match):
    job = publication(kafka_broker.config)
    prepare_topic(job, len(USERS), prediction_bytes(5))
    with pytest.raises(DataError, match=match):
        publish_part(job, 0, predictions, RankedListPayload(catalogue_table(), fallback))
    assert consumed(job.kafka, job.topic, 0) == []


@pytest.mark.kafka
def test_a_topic_that_does_not_exist_is_an_error_in_bounded_time(kafka_broker):
    job = publication(kafka_broker.config, timeout_seconds=2.0)
    started = time.monotonic()
    with pytest.raises(ServiceUnavailable, match=r"records of e\w+\.predictions \[0\] unacknowledged"):
        publish_part(job, 0, load(0), RankedListPayload(catalogue_table(), fallback_table(10)))
    assert time.monotonic() - started < 15


def test_a_broker_that_is_down_is_one_clear_error_at_once():
    started = time.monotonic()
    for attempt in (
        lambda: publish_part(publication(NOBODY), 0, load(0), RankedListPayload(catalogue_table(), fallback_table(10))),
        lambda: publish_generation(publication(NOBODY), load, RankedListPayload(catalogue_table(), fallback_table(10))),
        lambda: prepare_topic(publication(NOBODY), 100),
    ):
        with pytest.raises(ServiceUnavailable, match=r"Kafka at 127\.0\.0\.1:21125 does not answer"):
            attempt()
    assert time.monotonic() - started < 5


def test_a_broker_that_goes_away_meanwhile_is_an_error_in_bounded_time():
    """Nobody answers the producer: with more records than its queue holds, and with few."""
    started = time.monotonic()
    for turns in (200, 1):
        producer = PartitionProducer(NOBODY, "lost.predictions", 0, timeout_seconds=1.0)
        with pytest.raises(
            ServiceUnavailable, match=r"left \d+ of \d+ records of lost\.predictions \[0\] unacknowledged"
        ):
            _send(producer, turns)
        assert producer.acknowledged == 0
        producer.close()
    assert time.monotonic() - started < 10


def _send(producer: PartitionProducer, turns: int) -> None:
    for turn in range(turns):
        producer.send([turn.to_bytes(8, "big")] * 1000, [b"v" * 100] * 1000)
    producer.finish()


def test_sums_of_parts_wrap():
    assert total_checksum(["ffffffffffffffff", "0000000000000002"]) == "0000000000000001"


def test_a_signing_key_shows_nowhere():
    assert "kkkk" not in repr(publication(NOBODY))
