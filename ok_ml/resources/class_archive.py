"""An archive of the JVM's loaded classes (AppCDS), which saves about a third of the time until Spark's first result.

Made once for a Java and a pyspark, by hand (`python -m ok_ml.resources.class_archive`): it takes half a minute and 160 MB.
A run uses it if it is there and is never broken by its absence. The JVM maps the file without looking, and a truncated one
kills it (SIGBUS), so the size is part of the name and the name is given last.
"""

import logging
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Final

from ok_ml.local.broker.kafka_jars import cache_root
from ok_ml.machine.java import java_option
from ok_ml.resources.spark import archive_key, find_archive, local_java_options

LEAST_BYTES: Final = 20_000_000
TIMEOUT_SECONDS: Final = 300
_LOG: Final = logging.getLogger(__name__)
_WARM_UP: Final = """
import sys
from pathlib import Path
from ok_ml.config.models import SparkConfig
from ok_ml.resources.spark import open_spark

config = SparkConfig(master="local[2]", driver_memory="1g", shuffle_partitions=2,
                     conf={"spark.driver.extraJavaOptions": sys.argv[2]})
session = open_spark(config, Path(sys.argv[1]))
rows = session.range(0, 1000, 1, 2).mapInArrow(lambda batches: batches, "id long")
rows.groupBy((rows.id % 7).alias("k")).count().orderBy("k").toArrow()
session.stop()
"""


def make_archive(cache: Path, state_dir: Path, java_says: str) -> Path | None:
    """Make the archive unless it is there; None, and a line in the log, if that does not work."""
    archive = find_archive(cache, java_says)
    if archive is not None:
        return archive
    cache.mkdir(parents=True, exist_ok=True)
    aside = cache / f".spark-{uuid.uuid4().hex[:8]}.part"
    try:
        failed = _record(aside, state_dir)
        if failed is None:
            whole = cache / f"spark-{archive_key(java_says)}-{aside.stat().st_size}.jsa"
            aside.rename(whole)
            return whole
        _LOG.warning("no class archive, Spark starts without: %s", failed)
        return None
    finally:
        aside.unlink(missing_ok=True)


def _record(aside: Path, state_dir: Path) -> str | None:
    """Let a child's JVM write the archive as it exits; what went wrong, or None."""
    options = f"{local_java_options(state_dir)} {java_option(f'-XX:ArchiveClassesAtExit={aside}')} -Xlog:disable"
    command = [sys.executable, "-c", _WARM_UP, str(state_dir), options]
    try:
        # the JVM outlives the child and holds its output: the end of the output is the end of the JVM
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    if done.returncode:
        return done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
    written = aside.stat().st_size if aside.exists() else 0
    return None if written >= LEAST_BYTES else f"the JVM wrote {written} bytes, expected at least {LEAST_BYTES}"


if __name__ == "__main__":
    from ok_ml.config.loader import load_project
    from ok_ml.resources.spark import java_says

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    _LOG.info("%s", make_archive(cache_root(), load_project().state_dir, java_says()) or "made none")
