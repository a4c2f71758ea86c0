"""A real Apache Kafka on loopback: one KRaft node, started and stopped by the project.

What was found to work (Kafka 4.1.1, Java 17, pyspark 4.3.0): ``java -cp <pyspark>/jars/ivy-2.5.3.jar org.apache.ivy.Main
-dependency org.apache.kafka kafka_2.13 4.1.1 -retrieve "lib/[artifact]-[revision](-[classifier]).[ext]" -confs default
-types jar bundle`` fetches 45 jars, 43 MB, in about 40 s; ``mvn dependency:copy-dependencies`` fetches the same 45.
``kafka.tools.StorageTool format`` takes 1 s, once; after a start the broker answers within about 3 s.

Its state is ``kafka/`` below the state folder: ``data`` (topics), ``server.properties``, ``log4j2.properties``, ``server.log``,
``cluster_id``. The settings name no folder: the broker works in its own, so that the letters of its path do not matter.
"""

import base64
import contextlib
import logging
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ok_ml.config.models import KafkaConfig
from ok_ml.delivery.kafka.topics import cluster_id
from ok_ml.errors import EnvironmentFault, ServiceUnavailable
from ok_ml.local.broker.broker_files import LOG4J, SERVER, require_free, write_settings
from ok_ml.local.broker.kafka_jars import KafkaJars, find_jars
from ok_ml.local.processes.guarded_process import GuardedProcess, exit_in_words
from ok_ml.local.processes.shared_service import guard_of, shared
from ok_ml.machine.java import find_java, utf8_locale

logger = logging.getLogger(__name__)

START_SECONDS: Final = 90.0
_SAY_SECONDS: Final = 5.0


class EmbeddedBroker:
    """One Kafka node below the state folder. It never outlives the process that started it, or its users if it is shared.

    Parameters
    ----------
    config
        Mode embedded; `bootstrap_servers` is one host:port on loopback.
    state_dir
        The project's state folder.
    """

    def __init__(self, config: KafkaConfig, state_dir: str | Path) -> None:
        self.config = config
        self.folder = Path(state_dir).resolve() / "kafka"
        self.host, self.port = config.servers[0]
        self._process: GuardedProcess | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the broker's guard, or None if it is not running."""
        return self._process.pid if self._process and self._process.exit_code() is None else None

    @property
    def own_cluster_id(self) -> str:
        """The id that the broker of this state folder answers with, made on first use."""
        path = self.folder / "cluster_id"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_text(base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))
        return path.read_text().strip()

    def start(self, timeout_seconds: float = START_SECONDS, *, is_shared: bool = False) -> GuardedProcess:
        """Start the broker and wait until it answers; returns its guard.

        Parameters
        ----------
        is_shared
            Whether the users of its folder keep it (`ensure_broker`) instead of this process.

        Raises
        ------
        EnvironmentFault
            A port is taken, Java or the jars are missing, or the broker ended while starting.
        ServiceUnavailable
            It does not answer within the time.
        """
        started = time.monotonic()
        java = self.require_startable()
        jars = find_jars(self.config.jars_dir, java=java)
        write_settings(self.folder, self.config)
        if not (self.folder / "data" / "meta.properties").exists():
            self._format(java, jars)
        self._process = process = GuardedProcess(
            self._command(java, jars),
            self.folder / "console.log",
            utf8_locale(),
            cwd=self.folder,
            shared=self.folder if is_shared else None,
        )
        try:
            self._wait(started, timeout_seconds)
        except BaseException:
            self.stop()
            raise
        logger.info(
            "Kafka %s answers at %s after %.1f s",
            jars.version,
            self.config.bootstrap_servers,
            time.monotonic() - started,
        )
        return process

    def require_startable(self) -> str:
        """The Java that it would run on.

        Raises
        ------
        EnvironmentFault
            A port is taken, or Java is missing.
        """
        for name, host, port in (
            ("bootstrap_servers", self.host, self.port),
            ("controller_port", "127.0.0.1", self.config.controller_port),
        ):
            require_free(host, port, f"kafka.{name}")
        return find_java(why="the embedded Kafka broker runs on it").program

    def answers(self) -> bool:
        """Whether this broker answers. Raises EnvironmentFault if that of another project does in its place."""
        cluster = cluster_id(self.config)
        if cluster is not None and cluster != self.own_cluster_id:
            raise EnvironmentFault(
                f"the Kafka that answers at {self.config.bootstrap_servers} is not the one of {self.folder}",
                why="its topics belong to another project or clone",
                remedy="stop it, or set another port: kafka.bootstrap_servers",
            )
        return cluster is not None

    def stop(self) -> None:
        """End the broker: SIGTERM, a bounded wait, SIGKILL. Its data stay."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def __enter__(self) -> "EmbeddedBroker":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- steps of the start ------------------------------------------------------------------------------------

    def _java(self, java: str, jars: KafkaJars, heap_mb: int) -> list[str]:
        return [
            str(Path(java).absolute()),
            f"-Xmx{heap_mb}m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={(self.folder / LOG4J).as_uri()}",
            "-cp",
            jars.class_path(self.folder),
        ]

    def _command(self, java: str, jars: KafkaJars) -> list[str]:
        return [*self._java(java, jars, self.config.heap_mb), "kafka.Kafka", SERVER]

    def _format(self, java: str, jars: KafkaJars) -> None:
        command = [
            *self._java(java, jars, 128),
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={self.own_cluster_id}",
            "-c",
            SERVER,
        ]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=self.folder,
            env={**os.environ, **utf8_locale()},
        )
        if done.returncode != 0:
            raise EnvironmentFault(
                f"Kafka cannot format {self.folder / 'data'}: {(done.stderr or done.stdout).strip()[-300:]}",
                why="the embedded broker has nowhere to keep its topics",
                remedy="check that the disk is writable and has space",
            )

    def _wait(self, started: float, timeout_seconds: float) -> None:
        said = started
        while time.monotonic() - started < timeout_seconds:
            code = self._process.exit_code() if self._process else 1
            if code is not None:
                raise EnvironmentFault(
                    f"Kafka ended while starting ({exit_in_words(code)}). The end of {self._log()}:\n{self._tail()}",
                    why="predictions cannot be published",
                    remedy="fix the cause named there and start again",
                )
            if cluster_id(self.config, 1.0) == self.own_cluster_id:
                return
            if time.monotonic() - said > _SAY_SECONDS:
                said = time.monotonic()
                logger.info("waiting for Kafka at %s, %.0f s", self.config.bootstrap_servers, said - started)
            time.sleep(0.1)
        raise ServiceUnavailable(
            f"Kafka does not answer at {self.config.bootstrap_servers} after {timeout_seconds:.0f} s; the end of {self._log()}:\n{self._tail()}",
            why="predictions cannot be published",
            remedy="try again on a less busy machine",
        )

    def _log(self) -> Path:
        log = self.folder / "server.log"
        return log if log.exists() and log.stat().st_size else self.folder / "console.log"

    def _tail(self) -> str:
        lines = self._log().read_text(errors="replace").splitlines() if self._log().exists() else []
        return "\n".join(f"    {line[:240]}" for line in lines[-8:])


@contextlib.contextmanager
def ensure_broker(config: KafkaConfig, state_dir: str | Path) -> Iterator[GuardedProcess | None]:
    """Within the block a broker answers: the one that is there, else one that stays until its last user leaves.

    Yields
    ------
    The guard of the broker that was started, or None if one was there.

    Raises
    ------
    ServiceUnavailable
        Mode external, and nothing answers.
    EnvironmentFault
        See `EmbeddedBroker.start`; or the broker that answers belongs to another project.
    """
    if config.mode == "external":
        if cluster_id(config) is None:
            raise ServiceUnavailable(
                f"no Kafka answers at {config.bootstrap_servers}",
                why="predictions cannot be published",
                remedy="check kafka.bootstrap_servers, or set kafka.mode to embedded",
            )
        yield None
        return
    broker = EmbeddedBroker(config, state_dir)
    with shared(
        broker.folder, answers=broker.answers, start=lambda: broker.start(is_shared=True), start_seconds=START_SECONDS
    ) as started:
        yield started


def require_broker_startable(config: KafkaConfig, state_dir: str | Path) -> None:
    """Say now what `ensure_broker` would say after the work of minutes: a taken port, no Java.

    An external broker is not asked: it may answer by then, and what was done before stays. Nor is the one that another process
    of this state folder is just starting: it holds its ports before it answers.

    Raises
    ------
    EnvironmentFault
        See `EmbeddedBroker.require_startable`.
    """
    broker = EmbeddedBroker(config, state_dir)
    if config.mode == "embedded" and cluster_id(config, 1.0) is None and guard_of(broker.folder) is None:
        broker.require_startable()
