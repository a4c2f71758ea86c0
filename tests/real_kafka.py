"""A real Kafka broker for the whole test run, and how tests wait for processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ok_ml.config.models import KafkaConfig
from ok_ml.local.broker.embedded_broker import EmbeddedBroker

BROKER_PORT, CONTROLLER_PORT = 21100, 21101

_ORPHANING = """
import sys, time
from ok_ml.config.models import KafkaConfig
from ok_ml.local.broker.embedded_broker import EmbeddedBroker
from ok_ml.delivery.kafka.topics import create_topic
config = KafkaConfig.model_validate_json(sys.argv[1])
EmbeddedBroker(config, sys.argv[2]).start()
create_topic(config, "kept.predictions", 4)
print("up", flush=True)
time.sleep(120)
"""


class KafkaForTests:
    """A broker that was started before, by a process that was killed.

    Attributes
    ----------
    orphans_after_kill
        Java processes that outlived their killed parent.
    """

    def __init__(self, config: KafkaConfig, state_dir: Path, orphans_after_kill: list[str]) -> None:
        self.config, self.state_dir, self.orphans_after_kill = config, state_dir, orphans_after_kill
        self.broker = EmbeddedBroker(config, state_dir)


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaForTests]:
    """A real Kafka. Mark its tests with `@pytest.mark.kafka`."""
    config = KafkaConfig(
        mode="embedded", bootstrap_servers=f"127.0.0.1:{BROKER_PORT}", controller_port=CONTROLLER_PORT, heap_mb=256
    )
    state_dir = tmp_path_factory.mktemp("kafka-state")
    (state_dir / "kafka").mkdir()
    (state_dir / "kafka" / "cluster_id").write_text("-4Bpv9BDTAqCFTBwZtWkhg")  # one in 64 begins like an option
    kafka = KafkaForTests(config, state_dir, _kill_the_parent(config, state_dir))
    kafka.broker.start()
    yield kafka
    kafka.broker.stop()


def _kill_the_parent(config: KafkaConfig, state_dir: Path) -> list[str]:
    """Let another process start the broker, kill that with SIGKILL, and return what is left of it after ten seconds."""
    command = [sys.executable, "-c", _ORPHANING, config.model_dump_json(), str(state_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as parent:
        first = parent.stdout.readline().strip()
        children = psutil.Process(parent.pid).children(recursive=True) if first == "up" else []
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        assert first == "up", parent.stderr.read()
    assert len(children) == 2, "expected the guard and the broker"
    return [str(process) for process in survivors(children)]


def survivors(processes: list[psutil.Process], seconds: float = 10.0) -> list[psutil.Process]:
    """Which of some processes still run after a while; one that ended and was not collected yet does not."""
    deadline = time.monotonic() + seconds
    while (alive := [process for process in processes if _runs(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def eventually(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not hold within {seconds} s"
        time.sleep(0.02)
