import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from ok_ml.config.models import KafkaConfig
from ok_ml.delivery.kafka.topics import cluster_id, create_topic, experiment_of, list_partitions, topic_of
from ok_ml.errors import ConfigError, EnvironmentFault, ServiceUnavailable
from ok_ml.local.broker.embedded_broker import EmbeddedBroker, ensure_broker, require_broker_startable
from ok_ml.local.processes.guarded_process import GuardedProcess
from tests.real_kafka import BROKER_PORT, eventually, survivors

FREE_PORT, OTHER_PORT = 21120, 21121


def embedded(port: int = FREE_PORT, controller_port: int = OTHER_PORT) -> KafkaConfig:
    return KafkaConfig(mode="embedded", bootstrap_servers=f"127.0.0.1:{port}", controller_port=controller_port)


@pytest.mark.kafka
def test_a_killed_parent_leaves_no_broker_and_its_data_survive(kafka_broker):
    assert kafka_broker.orphans_after_kill == []
    assert list_partitions(kafka_broker.config)["kept.predictions"] == 4
    assert cluster_id(kafka_broker.config)


@pytest.mark.kafka
def test_a_broker_that_answers_is_used_and_not_stopped(kafka_broker):
    with ensure_broker(kafka_broker.config, kafka_broker.state_dir) as started:
        assert started is None
    assert cluster_id(kafka_broker.config)


@pytest.mark.kafka
def test_the_broker_of_another_project_is_not_taken(kafka_broker, tmp_path):
    with (
        pytest.raises(
            EnvironmentFault, match=rf"(?s)answers at 127\.0\.0\.1:{BROKER_PORT} is not the one of .*another project"
        ),
        ensure_broker(kafka_broker.config, tmp_path),
    ):
        pytest.fail("must not get here")


@pytest.mark.kafka
def test_topics_are_made_with_explicit_settings_once(kafka_broker):
    config, topic = kafka_broker.config, topic_of("made")
    assert create_topic(config, topic, 8)
    assert not create_topic(config, topic, 8, part_bytes=10**9)
    assert list_partitions(config)[topic] == 8
    assert _settings(config, topic) >= {
        ("retention.ms", "604800000"),
        ("retention.bytes", "4000000000"),
        ("cleanup.policy", "delete"),
    }
    with pytest.raises(EnvironmentFault, match=r"topic made.predictions has 8 partitions, expected 4"):
        create_topic(config, topic, 4)


def _settings(config: KafkaConfig, topic: str) -> set[tuple[str, str]]:
    from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": config.bootstrap_servers})
    found = admin.describe_configs([resource])[resource].result(10)
    return {(name, entry.value) for name, entry in found.items()}


def test_nobody_answers(tmp_path):
    assert not cluster_id(embedded())
    external = embedded().model_copy(update={"mode": "external"})
    with (
        pytest.raises(ServiceUnavailable, match=f"no Kafka answers at 127.0.0.1:{FREE_PORT}"),
        ensure_broker(external, tmp_path),
    ):
        pytest.fail("must not get here")


def test_something_else_that_listens_is_no_kafka():
    with socket.create_server(("127.0.0.1", FREE_PORT)):
        assert not cluster_id(embedded(), 0.5)


@pytest.mark.parametrize(
    ("taken", "key"), [(FREE_PORT, "kafka.bootstrap_servers"), (OTHER_PORT, "kafka.controller_port")]
)
def test_a_taken_port_is_named_with_its_holder_and_its_key(tmp_path, taken, key):
    with socket.create_server(("127.0.0.1", taken)), pytest.raises(EnvironmentFault) as caught:
        EmbeddedBroker(embedded(), tmp_path).start()
    assert f"port {taken} of 127.0.0.1 is taken by pid {os.getpid()}" in str(caught.value)
    assert key in caught.value.remedy


def test_a_broker_of_this_folder_that_is_just_starting_holds_its_own_ports(tmp_path):
    """Its guard lives, its ports are bound, and it does not answer yet: who comes meanwhile waits for it later."""
    with socket.create_server(("127.0.0.1", OTHER_PORT)):
        with pytest.raises(EnvironmentFault, match="is taken by pid"):
            require_broker_startable(embedded(), tmp_path)
        (tmp_path / "kafka").mkdir()
        with (tmp_path / "kafka" / "guard").open("w") as guard:
            guard.write(str(os.getpid()))
            guard.flush()
            fcntl.flock(guard, fcntl.LOCK_EX)
            require_broker_startable(embedded(), tmp_path)
        with pytest.raises(EnvironmentFault, match="is taken by pid"):
            require_broker_startable(embedded(), tmp_path)


def test_a_broker_that_ends_while_starting_says_why(tmp_path, monkeypatch):
    from ok_ml.local.broker import embedded_broker as broker

    monkeypatch.setattr(broker.EmbeddedBroker, "_format", lambda *_: None)
    monkeypatch.setattr(broker.EmbeddedBroker, "_command", lambda *_: ["sh", "-c", "echo the disk is bad; exit 3"])
    monkeypatch.setattr(broker, "find_jars", lambda *_, **__: None)
    with pytest.raises(EnvironmentFault, match=r"(?s)Kafka ended while starting \(exit code 3\).*the disk is bad"):
        EmbeddedBroker(embedded(), tmp_path).start()


def test_names_of_topics():
    assert topic_of("prod_discovery") == "prod_discovery.predictions"
    assert experiment_of("prod_discovery.predictions") == "prod_discovery"
    assert experiment_of("__consumer_offsets") is None
    assert experiment_of("__x.predictions") is None


def test_an_unset_password_is_named(monkeypatch):
    from ok_ml.delivery.kafka.topics import client_settings

    monkeypatch.delenv("OK_ML_TEST_PASSWORD", raising=False)
    config = embedded().model_copy(update={"password_env": "OK_ML_TEST_PASSWORD"})
    with pytest.raises(ConfigError, match="names OK_ML_TEST_PASSWORD, which is not set"):
        client_settings(config)
    monkeypatch.setenv("OK_ML_TEST_PASSWORD", "geheim")
    assert client_settings(config)["sasl.password"] == "geheim"


# -- the guard -----------------------------------------------------------------------------------------------------------


def test_a_guarded_process_outlives_the_thread_that_started_it(tmp_path):
    with ThreadPoolExecutor(1) as pool:
        process = pool.submit(GuardedProcess, ["sleep", "60"], tmp_path / "log").result()
    time.sleep(0.2)
    assert process.exit_code() is None
    children = psutil.Process(process.pid).children()
    assert process.stop() == -signal.SIGTERM
    assert survivors(children, 0) == []


def test_a_guarded_process_that_ends_passes_its_exit_code_on(tmp_path):
    process = GuardedProcess(["sh", "-c", "echo $COLOUR; exit 9"], tmp_path / "log", {"COLOUR": "blue"})
    eventually(lambda: process.exit_code() is not None)
    assert process.stop() == 9
    assert process.tail() == "    blue"


def test_a_killed_guard_takes_its_process_along(tmp_path):
    process = GuardedProcess(["sleep", "60"], tmp_path / "log")
    eventually(lambda: psutil.Process(process.pid).children())
    child = psutil.Process(process.pid).children()[0]
    eventually(lambda: "sleep" in child.name())
    os.kill(process.pid, signal.SIGKILL)
    assert survivors([child]) == []
    process.stop()


def test_a_killed_parent_takes_guard_and_process_along(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from ok_ml.local.processes.guarded_process import GuardedProcess;"
        f"p = GuardedProcess(['sleep', '60'], Path({str(tmp_path / 'log')!r})); print(p.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        guard = psutil.Process(int(parent.stdout.readline()))
        eventually(guard.children)
        below = [guard, *guard.children()]
        parent.kill()
    assert survivors(below) == []
