"""The real process, killed by SIGKILL; a broker that goes away; two collectors at once."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import orjson
import pytest

from ok_ml.config.models import DatasetConfig, KafkaConfig
from ok_ml.datasets.collecting.collector import Collector
from ok_ml.datasets.collecting.collector_names import FOLDER
from ok_ml.datasets.collecting.collector_process import collect
from ok_ml.delivery.kafka.topics import create_topic
from ok_ml.errors import EnvironmentFault, ServiceUnavailable
from ok_ml.lake import Lake
from tests.datasets.collecting.feed import PARTS, committed, dataset, event, expected, send, stream, versions

pytestmark = pytest.mark.kafka

_CHILD = """
import sys, threading
from ok_ml.datasets.collecting.collector_process import collect
from ok_ml.config.models import DatasetConfig, KafkaConfig
from ok_ml.lake import Lake
config, kafka = DatasetConfig.model_validate_json(sys.argv[1]), KafkaConfig.model_validate_json(sys.argv[2])
collect(config, Lake(sys.argv[3]), kafka, threading.Event(), on_status=lambda _: print("up", flush=True))
"""


def start(config: DatasetConfig, kafka: KafkaConfig, lake: Lake) -> "subprocess.Popen[str]":
    """A collector in a process of its own, at work when this returns."""
    command = [sys.executable, "-c", _CHILD, config.model_dump_json(), kafka.model_dump_json(), str(lake.root)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    return child


def kill(child: "subprocess.Popen[str]") -> None:
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()


def killed_again_and_again(
    kafka: KafkaConfig, config: DatasetConfig, topic: str, lake: Lake, drain, seeds: range
) -> None:
    sent = stream(4, 1500)
    late = [event(9000 + number, number % 3, number) for number in range(60)]
    messages = [*sent, b"poison", *late, *random.Random(3).sample(sent, 300)]
    send(kafka, topic, messages[:4000])
    for seed in seeds:
        child = start(config, kafka, lake)
        try:
            if seed == seeds[0]:
                send(kafka, topic, messages[4000:])
            time.sleep(random.Random(seed).uniform(0.0, 0.35))
        finally:
            kill(child)
    status = drain(config)
    assert committed(lake) == expected(messages)
    assert status["set_aside"] == {"broken_json": 1}
    assert status["messages"] == len(messages)
    whole = Lake(lake.root.parent / "whole")
    drain(dataset(topic), into=whole)
    assert versions(whole) == versions(lake)


def test_killed_at_random_points_it_loses_and_doubles_nothing(kafka, topic, lake, drain):
    create_topic(kafka, topic, PARTS)
    config = dataset(topic, batch_messages=120, batch_seconds=0.05)
    killed_again_and_again(kafka, config, topic, lake, drain, range(3))


@pytest.mark.full
def test_killed_at_many_random_points_it_loses_and_doubles_nothing(kafka, topic, lake, drain):
    create_topic(kafka, topic, PARTS)
    config = dataset(topic, batch_messages=40, batch_seconds=0.05)
    killed_again_and_again(kafka, config, topic, lake, drain, range(100, 130))


def test_two_collectors_are_not_at_work_on_one_dataset(stream_of, kafka, lake):
    child = start(stream_of, kafka, lake)
    try:
        with pytest.raises(EnvironmentFault, match=rf"a collector \(pid {child.pid}\) is already at work on stream"):
            collect(stream_of, lake, kafka, threading.Event())
    finally:
        kill(child)
    assert orjson.loads((lake.root / "stream" / FOLDER / "lock").read_bytes())["pid"] == child.pid


def test_without_a_broker_it_says_so_at_once(lake):
    nobody = KafkaConfig(mode="external", bootstrap_servers="127.0.0.1:29899")
    with pytest.raises(
        ServiceUnavailable, match=r"Kafka at 127\.0\.0\.1:29899 does not answer\n.*events of stream wait"
    ) as told:
        collect(dataset("nowhere"), lake, nobody, threading.Event())
    assert told.value.exit_code == 3


def test_a_topic_with_another_number_of_partitions_is_refused(kafka, topic, lake):
    create_topic(kafka, topic, PARTS + 1)
    with pytest.raises(
        EnvironmentFault, match=rf"has {PARTS + 1} partitions, expected {PARTS}\n.*\n.*set the dataset's parts to"
    ):
        collect(dataset(topic), lake, kafka, threading.Event())


def test_a_broker_that_goes_away_is_waited_for(broker, stream_of, kafka, topic, lake):
    sent = stream(3, 200)
    send(kafka, topic, sent[:300])
    collector = Collector(stream_of, lake, kafka)
    turn_until(collector, lambda: collector.checkpoint.messages == 300)
    broker.stop()
    quiet_until = time.monotonic() + 2.0  # longer than idle_seconds: silence of a dead broker closes no day
    turn_until(collector, lambda: time.monotonic() > quiet_until)
    assert collector.consumer.trouble
    before = set(committed(lake))
    broker.start()
    send(kafka, topic, sent[300:])
    turn_until(collector, lambda: collector.checkpoint.messages == 600 and len(committed(lake)) == 3)
    collector.finish()
    collector.close()
    assert committed(lake) == expected(sent)
    assert before <= {"2026-01-01"}, "only what events of all partitions had passed"
    assert sum(lake.manifest("stream", "raw_events", dt).details["commits"] for dt in committed(lake)) == 3


def turn_until(collector: Collector, condition, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not hold within {seconds} s"
        collector.step()


def test_a_topic_that_was_made_again_is_read_from_its_beginning(stream_of, kafka, topic, lake, drain):
    from confluent_kafka.admin import AdminClient

    sent = stream(1, 60)
    send(kafka, topic, sent[:50])
    drain(stream_of)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.delete_topics([topic])[topic].result(10)
    time.sleep(0.5)
    create_topic(kafka, topic, PARTS)
    send(kafka, topic, sent)
    status = drain(stream_of)
    assert committed(lake) == expected(sent)
    assert status["messages"] == 110


def test_what_retention_took_is_counted(stream_of, kafka, topic, lake, drain):
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    same = [event(number, 0, number, user_id=7) for number in range(100)]
    send(kafka, topic, same[:20])
    drain(stream_of)
    send(kafka, topic, same[20:])
    (part,) = lake.read("stream", "raw_events", ["2026-01-01"])["topic_partition"].unique().to_pylist()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for future in admin.delete_records([TopicPartition(topic, part, 50)]).values():
        future.result(10)
    status = drain(stream_of)
    assert status["lost"] == 30
    assert committed(lake) == expected([*same[:20], *same[50:]])
