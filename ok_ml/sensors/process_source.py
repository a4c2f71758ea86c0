"""Processes that crashed, and those that are silent."""

from collections.abc import Iterator
from typing import Final

from ok_ml.config.models import Project
from ok_ml.console.health import in_words
from ok_ml.datasets.collecting.collector_status import SILENT_SECONDS
from ok_ml.datasets.collecting.collector_status import read_status as read_collector
from ok_ml.delivery.live import HEARTBEAT_SECONDS
from ok_ml.errors import ServiceUnavailable
from ok_ml.incidents.journal import Journal, process_signals
from ok_ml.incidents.signals import Signal
from ok_ml.lake import Lake
from ok_ml.sensors.sources import Look

CURSOR: Final = "processes"
_PATIENCE: Final = 4.0  # silences that a slow start or a restart takes


def look_at_deaths(project: Project, cursor: str | None) -> Look:
    """What the supervisor wrote down; one small file."""
    entries = Journal(project.state_dir).entries()
    last = int(cursor) if cursor is not None and cursor.isdigit() else None
    look = Look(process_signals(entries, last), complete={"process"})
    look.cursors[CURSOR] = str(max([entry.number for entry in entries], default=last or 0))
    return look


def look_at_heartbeats(project: Project, now: float) -> Look:
    """Materialiser, collectors and storage: small files, or one question to the storage."""
    return Look([*_materialiser(project, now), *_collectors(project, now)], complete={"heartbeat"})


def _materialiser(project: Project, now: float) -> Iterator[Signal]:
    from ok_ml.delivery.storage import open_store

    try:
        store = open_store(project.environment.storage, project.root)
        try:
            documents = [store.read_document(name, "status") for name in sorted(project.experiments)]
        finally:
            store.close()
    except ServiceUnavailable as error:
        yield Signal("heartbeat:storage", "heartbeat", "error", None, "the storage does not answer", str(error))
        return
    beats = [float(status["updated_at"]) for status in documents if status is not None and "updated_at" in status]
    if beats and now - max(beats) > _PATIENCE * HEARTBEAT_SECONDS:
        yield Signal(
            "heartbeat:materialiser",
            "heartbeat",
            "error",
            None,
            "the materialiser is silent",
            f"its last heartbeat is {in_words(now - max(beats))} old; new generations wait in the topic until `ok-ml ui` starts one",
            since=max(beats),
            causes=("process:materialiser", "process:kafka"),
        )


def _collectors(project: Project, now: float) -> Iterator[Signal]:
    lake = Lake(project.lake_root)
    for name in project.environment.collectors:
        status = read_collector(lake, name)
        if status is None or now - float(status["updated_at"]) <= _PATIENCE * SILENT_SECONDS:
            continue
        last = float(status["updated_at"])
        yield Signal(
            f"heartbeat:collector-{name}",
            "heartbeat",
            "error",
            project.datasets[name].owners[0],
            f"the collector of {name} is silent",
            f"its last heartbeat is {in_words(now - last)} old; events wait in the topic until `ok-ml collect {name}` continues",
            since=last,
            asset=(name, "raw_log"),
            causes=(f"process:collector-{name}", "process:kafka"),
        )
