"""The topic of alerts on a real broker: each message once, whatever is killed or away."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from ok_ml.config.models import KafkaConfig
from ok_ml.incidents.channels import FileChannel
from ok_ml.incidents.courier import drain
from ok_ml.incidents.topic_channel import TopicChannel
from ok_ml.local.broker.embedded_broker import EmbeddedBroker
from tests.incidents.kills import killed_at
from tests.incidents.made_up import Desk, signal

pytestmark = pytest.mark.kafka
DRIFT = signal("check", "statistics", "drift")


def read(kafka: KafkaConfig, topic: str) -> list[dict[str, Any]]:
    """Every committed message of the topic, by another client."""
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": "reader",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = []
    while True:
        message = consumer.poll(10)
        assert message is not None, "no answer within 10 s"
        if message.error() is not None:
            assert message.error().code() == KafkaError._PARTITION_EOF
            break
        body = json.loads(message.value())
        assert message.key().decode() == body["incident"]
        assert message.headers() == [("id", body["id"].encode())]
        found.append(body)
    consumer.close()
    return found


def opened_and_closed(folder: Path) -> Desk:
    desk = Desk(folder)
    desk.look(DRIFT)
    desk.look()
    return desk


@pytest.mark.full
def test_each_message_is_one_record_keyed_by_its_incident(kafka: KafkaConfig, tmp_path: Path) -> None:
    desk = opened_and_closed(tmp_path)
    expected, channel = desk.ids("topic"), TopicChannel(kafka, "alerts-1", tmp_path)
    assert drain(desk.store, channel) == 2
    assert [body["id"] for body in read(kafka, "alerts-1")] == expected
    desk.look(signal("process", "kafka"))
    assert drain(desk.store, channel) == 1
    assert [body["event"] for body in read(kafka, "alerts-1")] == ["opened", "closed", "opened"]


def once_after_a_kill_at(step: int, kafka: KafkaConfig, folder: Path, topic: str) -> bool:
    """Whether it was killed there; asserts that the topic has each message once all the same."""
    desk = opened_and_closed(folder)
    expected = desk.ids("topic")
    was_killed = killed_at(step, desk.store.path, "topic", kafka.model_dump_json(), topic)
    drain(desk.store, TopicChannel(kafka, topic, folder), clock=lambda: time.time() + 10)
    assert [body["id"] for body in read(kafka, topic)] == expected, f"killed at step {step}"
    with desk.store.reading() as transaction:
        assert transaction.waiting("topic", 10) == []
    return was_killed


def test_killed_before_and_after_the_commit_the_topic_has_each_message_once(kafka: KafkaConfig, tmp_path: Path) -> None:
    # Steps: opened to read 1-2, opened to begin 3-4, begin 5-6, begin_transaction 7-8, produce 9-12, commit 13-14, note 15-18.
    for step in (13, 14):
        assert once_after_a_kill_at(step, kafka, tmp_path / str(step), f"alerts-killed-{step}")


@pytest.mark.full
def test_killed_at_every_step_the_topic_has_each_message_once(kafka: KafkaConfig, tmp_path: Path) -> None:
    step = 1
    while once_after_a_kill_at(step, kafka, tmp_path / str(step), f"alerts-each-{step}"):
        step += 1
    assert step > 14


@pytest.mark.full
def test_a_broker_that_is_away_delays_the_topic_only(
    broker: EmbeddedBroker, kafka: KafkaConfig, tmp_path: Path
) -> None:
    desk, channel = opened_and_closed(tmp_path), TopicChannel(kafka, "alerts-away", tmp_path)
    expected = desk.ids("topic")
    broker.stop()
    started = time.monotonic()
    assert drain(desk.store, channel) == 0
    assert time.monotonic() - started < 1.0
    assert drain(desk.store, FileChannel(tmp_path / "alerts.jsonl")) == 2
    with desk.store.reading() as transaction:
        assert "does not answer" in (transaction.waiting("topic", 1)[0].problem or "")
    broker.start()
    assert drain(desk.store, channel, clock=lambda: time.time() + 6) == 2
    assert [body["id"] for body in read(kafka, "alerts-away")] == expected


@pytest.mark.full
def test_deployments_that_share_a_topic_do_not_shut_each_other_out(kafka: KafkaConfig, tmp_path: Path) -> None:
    desks = [opened_and_closed(tmp_path / name) for name in ("one", "two")]
    expected = sorted(name for desk in desks for name in desk.ids("topic"))
    for desk in desks:
        assert drain(desk.store, TopicChannel(kafka, "alerts-shared", desk.store.path.parent)) == 2
    assert sorted(body["id"] for body in read(kafka, "alerts-shared")) == expected
