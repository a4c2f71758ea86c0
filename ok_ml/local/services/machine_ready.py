"""What a command that works asks for first: folders it can write, and what the end of the work would find missing."""

from collections.abc import Callable

from ok_ml.config.models import Project
from ok_ml.machine.writable import require_writable


def require_folders(project: Project) -> None:
    """Say now that the state folder, or the cache if something is to be fetched, cannot be written.

    Raises
    ------
    EnvironmentFault
        Which folder, whose it is, and the one command that fixes it.
    """
    from ok_ml.local.broker.kafka_jars import cache_root, needs_cache

    require_writable(project.state_dir, "the state folder", "OK_ML_STATE")
    kafka = project.environment.kafka
    if kafka.mode == "embedded" and needs_cache(kafka.jars_dir):
        require_writable(cache_root(), "the cache of downloads", "OK_ML_CACHE")


def require_tools(project: Project, say: Callable[[str], None]) -> None:
    """Before the first work: what only Spark, the promotion and the broker, minutes later, would find missing.

    Raises
    ------
    EnvironmentFault
        Java, a port, or (outside of environment `local`) a commit or the lock file is missing.
    """
    from ok_ml.local.broker.embedded_broker import require_broker_startable
    from ok_ml.machine.java import find_java
    from ok_ml.release.gate.promoting import require_promotable

    note = require_promotable(project)
    if note:
        say(f"note       {note}")
    environment = project.environment
    if not environment.spark.master.startswith("sc://"):
        find_java(why="features and batch inference run in Spark, which runs in Java")
    require_broker_startable(environment.kafka, project.state_dir)
