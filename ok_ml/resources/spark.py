"""Spark through dagster-pyspark: one quiet, local-first session a process, built from the YAML alone."""

import hashlib
import os
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import xxhash
from pydantic import Field, PrivateAttr

from ok_ml.config.models import Project, SparkConfig
from ok_ml.local.broker.kafka_jars import cache_root
from ok_ml.machine.current_user import has_entry, name_of_user
from ok_ml.machine.java import find_java, java_option, utf8_locale

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS_PER_BATCH: Final = 20_000  # rows of an Arrow batch between the JVM and a Python worker
_JAVA_OPTIONS: Final = "spark.driver.extraJavaOptions"
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_LOG4J: Final = """\
# Only what needs action; Spark's own progress is in the run's log.
status = error
rootLogger.level = error
rootLogger.appenderRef.stderr.ref = stderr
logger.gateway.name = org.apache.spark.api.python.PythonGatewayServer
logger.gateway.level = error
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex
"""


class SparkResource(dg.ConfigurableResource["SparkResource"]):
    """The session of a run, opened on first use and shared by everything in the process."""

    settings: dict[str, str] = Field(description="Spark settings, as `spark_settings` makes them.")
    state_dir: str = Field(description="The folder of all local state, absolute.")
    _session: Any = PrivateAttr(default=None)

    @classmethod
    def of(cls, project: Project) -> "SparkResource":
        """The resource of a project."""
        settings = spark_settings(project.environment.spark, project.state_dir)
        return cls(settings=settings, state_dir=str(project.state_dir))

    def session(self) -> "SparkSession":
        """The session; the first call starts the JVM.

        Raises
        ------
        EnvironmentFault
            There is no Java, or it is too old.
        """
        if self._session is None:
            self._session = _open(self.settings, Path(self.state_dir))
        return self._session


def open_spark(config: SparkConfig, state_dir: Path) -> "SparkSession":
    """A session outside Dagster, for tests and the command line.

    Raises
    ------
    EnvironmentFault
        There is no Java, or it is too old.
    """
    return _open(spark_settings(config, state_dir), state_dir)


def spark_settings(config: SparkConfig, state_dir: Path) -> dict[str, str]:
    """Every Spark setting of a session: what makes results reproducible, what keeps a laptop quiet, then `config.conf`.

    Nothing is read or written. A master `sc://...` is a Spark Connect server, which has its own JVM settings.
    """
    settings = {
        "spark.app.name": "ok-ml",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(config.shuffle_partitions),
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(ROWS_PER_BATCH),
    }
    if config.master.startswith("sc://"):
        return {"spark.remote": config.master, **settings, **config.conf}
    settings |= {
        "spark.driver.memory": config.driver_memory,
        "spark.python.worker.reuse": "true",
        **{f"spark.executorEnv.{name}": "1" for name in _ONE_THREAD},
        "spark.executorEnv.NUMBA_CACHE_DIR": str(state_dir / "numba"),
    }
    if config.master:
        settings["spark.master"] = config.master
    if config.master.startswith("local"):
        settings |= _local_settings(state_dir)
    return {**settings, **config.conf}


def _local_settings(state_dir: Path) -> dict[str, str]:
    folder = state_dir / "spark"
    return {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.local.dir": _without_comma(folder / "local"),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.checkpoint.dir": str(folder / "checkpoints"),
        _JAVA_OPTIONS: local_java_options(state_dir),
    }


def _without_comma(folder: Path) -> str:
    """A folder as an entry of a list that Spark splits at commas: one that holds a comma has another in its place."""
    if "," not in str(folder):
        return str(folder)
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return str(Path(tempfile.gettempdir()) / f"ok-ml-spark-{os.getuid()}-{name}")


def local_java_options(state_dir: Path) -> str:
    """Options of the driver's JVM on one machine: quiet, and with the collector that starts fastest."""
    return f"-Dlog4j2.configurationFile={_log4j_file(state_dir).as_uri()} -XX:+UseSerialGC"


def _log4j_file(state_dir: Path) -> Path:
    return state_dir.absolute() / "spark" / "log4j2.properties"


def _open(settings: dict[str, str], state_dir: Path) -> "SparkSession":
    settings = dict(settings)
    if "spark.remote" not in settings:
        archive = find_archive(cache_root(), java_says())
        if archive is not None and settings.get(_JAVA_OPTIONS) == local_java_options(state_dir):
            settings[_JAVA_OPTIONS] += f" {archive_options(archive)}"
        if not has_entry():
            _sign_in(settings, state_dir)
    for name in ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"):
        os.environ[name] = sys.executable
    os.environ.update(utf8_locale())
    log4j = _log4j_file(state_dir)
    log4j.parent.mkdir(parents=True, exist_ok=True)
    log4j.write_text(_LOG4J)
    from dagster_pyspark import LazyPySparkResource

    return LazyPySparkResource(spark_config=settings).spark_session


def _sign_in(settings: dict[str, str], state_dir: Path) -> None:
    """Start the JVM and tell it who we are: of a user without an entry in the list of users it knows neither name nor home.

    Without a home Spark looks for its packages in `?/.ivy2`, and Hadoop refuses a user without a name.
    """
    from pyspark import SparkConf, SparkContext

    home, name = state_dir.absolute() / "spark" / "home", name_of_user()
    home.mkdir(parents=True, exist_ok=True)
    settings[_JAVA_OPTIONS] = " ".join([settings.get(_JAVA_OPTIONS, ""), java_option(f"-Duser.home={home}")]).strip()
    os.environ.setdefault("SPARK_USER", name)
    SparkContext._ensure_initialized(conf=SparkConf(loadDefaults=False).setAll(list(settings.items())))
    hadoop: Any = SparkContext._jvm
    users = hadoop.org.apache.hadoop.security.UserGroupInformation
    users.setLoginUser(users.createRemoteUser(name))


def java_says() -> str:
    """What the Java that Spark will start says of its version.

    Raises
    ------
    EnvironmentFault
        There is none, it does not run, or it is older than Java 17.
    """
    why = "features and batch inference run in Spark, which runs in Java"
    return find_java(why=why, otherwise=", or point spark.master at a server (sc://...)").says


# -- the archive of the JVM's classes, which `ok_ml.resources.class_archive` makes ---------------------------------


def find_archive(cache: Path, java_says: str) -> Path | None:
    """The whole archive for a Java (what `java -version` prints) and this pyspark, or None."""
    for path in sorted(cache.glob(f"spark-{archive_key(java_says)}-*.jsa")):
        if path.stem.rpartition("-")[2] == str(path.stat().st_size):
            return path
    return None


def archive_options(archive: Path) -> str:
    """Options of a JVM that reads an archive; one that does not fit is passed over in silence."""
    return f"{java_option(f'-XX:SharedArchiveFile={archive}')} -Xshare:auto -Xlog:disable -Xlog:all=error:stderr"


def archive_key(java_says: str) -> str:
    """What an archive fits: a Java and the jars of one pyspark."""
    spec = find_spec("pyspark")
    home = spec.origin if spec else ""  # the archive knows its jars by their paths
    return str(xxhash.xxh3_64_hexdigest(f"{java_says}|{version('pyspark')}|{home}".encode()))
