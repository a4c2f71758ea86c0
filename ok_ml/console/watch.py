"""What the service can see on its own: generations, materialiser, broker. It asks shortly and never waits for long."""

import contextlib
import socket
import time
from collections.abc import Iterator
from datetime import date
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from ok_ml.columns import EVENTS
from ok_ml.config.models import DatasetConfig, ExperimentConfig, Project
from ok_ml.console.dagster_view import dagster_items
from ok_ml.console.health import StatusItem, blocked_items, in_words, merged
from ok_ml.console.incident_items import incident_items
from ok_ml.datasets.collecting.collector_status import SILENT_SECONDS
from ok_ml.datasets.collecting.collector_status import read_status as read_collector
from ok_ml.delivery.generation_ids import generation_name
from ok_ml.delivery.live import HEARTBEAT_SECONDS
from ok_ml.delivery.manifest import GenerationManifest
from ok_ml.delivery.storage import Document
from ok_ml.heartbeat import life
from ok_ml.lake import Lake
from ok_ml.serving.problems import Problem
from ok_ml.serving.readers import Readers, answered

_CONNECT_SECONDS: Final = 0.5
_WARN_SHARE: Final = 0.75
_ASIDE_WARN: Final = 0.05  # of all messages


def look(project: Project, readers: Readers) -> list[StatusItem]:
    """Everything that is watched. May take up to about three seconds when servers do not answer."""
    own = [*_experiments(project, readers), heartbeat_item(project), *collector_items(project), *_services(project)]
    return merged(blocked_items(project), incident_items(project), own, dagster_items(project))


# -- generations and their materialiser --------------------------------------------------------------------------


def _experiments(project: Project, readers: Readers) -> Iterator[StatusItem]:
    for name, config in sorted(project.experiments.items()):
        owner = config.owners[0]
        try:
            manifest = answered(readers.reader(name).describe)
            status = answered(partial(_status, readers, name))
        except Problem as problem:
            yield StatusItem(name, "generation", "fail", None, owner, f"{problem.detail}; {problem.remedy}")
            continue
        yield generation_item(config, manifest, _newest_day(project, name))
        if status is not None:
            yield materialiser_item(name, owner, status, time.time())


def _status(readers: Readers, experiment: str) -> Document | None:
    return readers.store().read_document(experiment, "status")


def generation_item(config: ExperimentConfig, manifest: GenerationManifest | None, newest_dt: str | None) -> StatusItem:
    """Whether what is served is made from data that are new enough.

    Judged by data time: days between the generation's data and the newest committed day, against the experiment's
    `freshness.predictions_hours`. The wall clock alone would call a finished `make run` stale the next morning.
    """
    name, owner = config.experiment, config.owners[0]
    link = f"/?experiment={name}"
    if manifest is None:
        message = f"nothing published yet; `ok-ml run {name}` makes the first generation"
        return StatusItem(name, "generation", "unknown", None, owner, message, link)
    age = max(0.0, time.time() - manifest.sealed_at)
    facts = f"{manifest.name}, model {manifest.model_version}, {manifest.predictions:,} users"
    behind = _days_between(manifest.details.get("data_dt"), newest_dt)
    if behind is None or behind <= 0:
        return StatusItem(name, "generation", "ok", age, owner, facts, link)
    hours, limit = 24.0 * behind, config.freshness.predictions_hours
    state: Any = "fail" if hours > limit else "warn" if hours > limit * _WARN_SHARE else "ok"
    text = f"{facts}; its data are {behind} day{'s' if behind > 1 else ''} behind {newest_dt} (limit {limit:.0f} h)"
    remedy = f"; materialise predictions of {name}, or `ok-ml run {name}`" if state == "fail" else ""
    return StatusItem(name, "generation", state, age, owner, text + remedy, link)


def materialiser_item(experiment: str, owner: str, status: dict[str, Any], now: float) -> StatusItem:
    """What the materialiser's heartbeat says about one experiment."""
    age = max(0.0, now - float(status.get("updated_at", 0.0)))
    current = status.get("current")
    refused = [refusal for refusal in status.get("refused", []) if refusal["generation"] > (current or 0)]
    lag = int(status.get("lag", 0))
    state: Any = "ok"
    message = f"{lag:,} records pending" if lag else "all records are in the storage"
    if refused:
        last = refused[-1]
        state, message = "fail", f"refused {generation_name(last['generation'])}: {last['reason']}; publish again"
    elif status.get("stopped") or age > HEARTBEAT_SECONDS:
        since = "stopped" if status.get("stopped") else f"no heartbeat for {in_words(age)}"
        state, message = "warn", f"{since}; new generations wait in the topic until `make ui` or `ok-ml run` starts one"
    elif status.get("trouble"):
        state, message = "warn", str(status["trouble"])
    return StatusItem(experiment, "materialiser", state, age, owner, message)


def _newest_day(project: Project, experiment: str) -> str | None:
    """The newest committed day of an experiment's events; None without one."""
    days = Lake(project.lake_root).partitions(project.dataset_of(experiment).dataset, EVENTS)
    return days[-1] if days else None


def _days_between(first: str | None, last: str | None) -> int | None:
    if first is None or last is None:
        return None
    with contextlib.suppress(ValueError):
        return (date.fromisoformat(last) - date.fromisoformat(first)).days
    return None


# -- the daemon --------------------------------------------------------------------------------------------------


def heartbeat_item(project: Project) -> StatusItem:
    """Whether Dagster's daemon ticks: nothing that it starts can say that it does not."""
    heart = life(project.state_dir, project.environment.heartbeat.limit_seconds)
    if heart.beat is None:
        message = "no heartbeat yet; `make ui` starts the daemon"
        return StatusItem("heartbeat", "daemon", "unknown", None, None, message, "/deadman")
    outside = heart.beat.ping
    state: Any = "fail" if not heart.alive else "warn" if outside not in ("", "ok") else "ok"
    message = heart.message if heart.alive else f"{heart.message}; {heart.remedy}"
    said = f"; the address outside: {outside}" if outside else ""
    return StatusItem("heartbeat", "daemon", state, heart.age_seconds, None, message + said, "/deadman")


# -- collectors --------------------------------------------------------------------------------------------------


def collector_items(project: Project) -> Iterator[StatusItem]:
    """What the collectors of topics say of themselves; one that never ran counts only where it should run."""
    for name, config in project.event_logs.items():
        if not config.arrives:
            continue
        status, wanted = read_collector(Lake(project.lake_root), name), name in project.environment.collectors
        if status is not None:
            yield collector_item(config, status, time.time(), wanted=wanted)
        elif wanted:
            message = f"it has not collected anything yet; `ok-ml ui` or `ok-ml collect {name}` starts it"
            yield StatusItem(f"{name} collector", "collector", "unknown", None, config.owners[0], message)


def collector_item(config: DatasetConfig, status: dict[str, Any], now: float, *, wanted: bool) -> StatusItem:
    """What one collector's heartbeat says: lag, last committed day, messages set aside.

    Parameters
    ----------
    wanted
        Whether it should be at work: `collectors` of the environment names its dataset.
    """
    age = max(0.0, now - float(status["updated_at"]))
    aside, messages = sum(status["set_aside"].values()), int(status["messages"])
    facts = f"{status['lag']:,} messages pending; newest day {status['last_day'] or 'none'}; {aside:,} set aside"
    if status["set_aside"]:
        facts += f" ({', '.join(f'{reason} {count:,}' for reason, count in sorted(status['set_aside'].items()))})"
    state: Any = "ok"
    if status["stopped"] or age > SILENT_SECONDS:
        since = "stopped" if status["stopped"] else f"no heartbeat for {in_words(age)}"
        remedy = f"`ok-ml collect {config.dataset}` resumes it"
        state, facts = "warn" if wanted or not status["stopped"] else "ok", f"{since}; {remedy}; {facts}"
    elif status["trouble"]:
        state, facts = "warn", f"{status['trouble']}; {facts}"
    if status["lost"] or aside > _ASIDE_WARN * max(messages, 1):
        state = "warn"
        facts += f"; {status['lost']:,} lost to the topic's retention" if status["lost"] else ""
    return StatusItem(f"{config.dataset} collector", "collector", state, age, config.owners[0], facts)


# -- services ----------------------------------------------------------------------------------------------------


def _services(project: Project) -> Iterator[StatusItem]:
    environment = project.environment
    for host, port in environment.kafka.servers:
        remedy = "`make ui` starts one" if environment.kafka.mode == "embedded" else "check kafka.bootstrap_servers"
        yield _answering("Kafka", host, port, f"nothing can be published; {remedy}")
    if environment.dagster.home is not None:
        url = f"http://127.0.0.1:{environment.dagster.port}"
        yield _answering(
            "Dagster", "127.0.0.1", environment.dagster.port, "no run starts automatically; `make ui` starts it", url
        )
    host, port, url = _mlflow(project)
    yield _answering("MLflow", host, port, "its UI is not available; `make ui` starts it", url)


def _mlflow(project: Project) -> tuple[str, int, str]:
    config = project.environment.mlflow
    if not config.tracking_uri.startswith(("http://", "https://")):
        return "127.0.0.1", config.port, f"http://127.0.0.1:{config.port}"
    parts = urlsplit(config.tracking_uri)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), config.tracking_uri


def _answering(name: str, host: str, port: int, otherwise: str, url: str | None = None) -> StatusItem:
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_SECONDS):
            return StatusItem(name, "service", "ok", None, None, f"answers at {host}:{port}", url)
    except OSError:
        return StatusItem(name, "service", "warn", None, None, f"nothing answers at {host}:{port}: {otherwise}", url)
