"""The settings of the embedded broker, and the ports that it needs.

Java reads properties as ISO 8859-1 with escapes, Kafka splits `log.dirs` at commas and Log4j fills in `${...}`: no path stands
in these files. They are relative to the broker's folder, in which it works.
"""

from pathlib import Path
from typing import Final

from ok_ml.config.models import KafkaConfig
from ok_ml.delivery.kafka.topics import RETENTION_MS
from ok_ml.errors import EnvironmentFault
from ok_ml.machine.ports import bind_error, holder

SERVER: Final = "server.properties"
LOG4J: Final = "log4j2.properties"
_CONSOLE_LIMIT_BYTES: Final = 16 * 1024 * 1024

_SERVER_TEXT: Final = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
log.dirs=data
auto.create.topics.enable=false
num.partitions=8
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
background.threads=2
num.recovery.threads.per.data.dir=2
log.cleaner.dedupe.buffer.size=4194304
log.retention.ms={retention_ms}
log.retention.check.interval.ms=60000
log.segment.bytes=33554432
log.segment.delete.delay.ms=10000
metadata.log.segment.bytes=16777216
metadata.max.retention.bytes=67108864
"""
_LOG4J_TEXT: Final = """status=error
rootLogger.level=warn
rootLogger.appenderRef.file.ref=file
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName=server.log
appender.file.filePattern=server.log.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{yyyy-MM-dd HH:mm:ss,SSS} %p %c{1} %m%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=8MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=2
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
"""


def write_settings(folder: Path, config: KafkaConfig) -> None:
    """Write server.properties and log4j2.properties into the broker's folder; a console log that grew large goes."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    host, port = config.servers[0]
    settings = _SERVER_TEXT.format(
        host=host, port=port, controller_port=config.controller_port, retention_ms=RETENTION_MS
    )
    (folder / SERVER).write_text(settings, encoding="ascii")
    (folder / LOG4J).write_text(_LOG4J_TEXT, encoding="ascii")
    console = folder / "console.log"
    if console.exists() and console.stat().st_size > _CONSOLE_LIMIT_BYTES:
        console.unlink()


def require_free(host: str, port: int, key: str) -> None:
    """Raise EnvironmentFault, naming the holder and the configuration key, if a port is taken."""
    if (error := bind_error(host, port)) is not None:
        raise EnvironmentFault(
            f"port {port} of {host} is taken by {holder(port)}",
            why="the embedded Kafka broker cannot listen there",
            remedy=f"stop that process, or set another port: {key} in configs/environments/",
        ) from error
