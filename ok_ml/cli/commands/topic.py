"""`ok-ml collect` and `ok-ml play`: events of a topic become days, and the simulated network sends some."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import rich_click as click

from ok_ml.cli.context import Settings, command, known_log
from ok_ml.cli.output import say, write_json, write_line

if TYPE_CHECKING:
    from ok_ml.config.models import DatasetConfig, Project
    from ok_ml.lake import Lake

_SHARE = click.FloatRange(0.0, 1.0)
_POSITIVE = click.FloatRange(min=0.0, min_open=True)


@command("collect", examples=["ok-ml collect events_topic", "ok-ml collect events_topic --until-idle 5 --json"])
@click.argument("dataset")
@click.option("--until-idle", type=_POSITIVE, metavar="SECONDS", help="End once nothing has come for so long.")
def collect(settings: Settings, *, dataset: str, until_idle: float | None, as_json: bool) -> None:
    """Take the events of a dataset's topic into committed days, until Ctrl-C.

    A day is committed when it is over; what comes later makes a new version of it. It may be killed at any time: the next
    call continues, nothing is lost or doubled.
    """
    from ok_ml.datasets.collecting.collector_metrics import CollectorMetrics
    from ok_ml.datasets.collecting.collector_process import collect as run
    from ok_ml.datasets.collecting.collector_process import stopped_by_signals
    from ok_ml.lake import Lake

    project = settings.project()
    config = project.event_logs[known_log(project, dataset)]
    with _broker(project, config), stopped_by_signals() as stopping:
        say(f"Collecting {dataset}; Ctrl-C ends it, nothing is lost")
        report = run(
            config,
            Lake(project.lake_root),
            project.environment.kafka,
            stopping,
            until_idle_seconds=until_idle,
            on_status=CollectorMetrics(project.state_dir, dataset).take,
        )
    if as_json:
        write_json(report)
        return
    write_line(in_words(report))


def in_words(report: dict[str, Any]) -> str:
    """A collector's status in a few lines."""
    aside = ", ".join(f"{reason} {count:,}" for reason, count in sorted(report["set_aside"].items())) or "none"
    waiting = ", ".join(f"{dt} {rows:,}" for dt, rows in sorted(report["open_days"].items())) or "none"
    return (
        f"{report['topic']}: {report['messages']:,} messages, {report['lag']:,} to come\n"
        f"days committed now: {report['days_committed']}, the newest {report['last_day'] or 'none'}; open days: {waiting}\n"
        f"set aside: {aside}"
    )


@command("play", examples=["ok-ml play events_topic --days 10", "ok-ml play events_topic --days 3 --speed 7200"])
@click.argument("dataset")
@click.option("--days", type=click.IntRange(1), help="The first so many days of the simulated log; default: all.")
@click.option("--speed", type=_POSITIVE, help="Seconds of event time a second; default: as fast as it goes.")
@click.option("--duplicate-share", type=_SHARE, default=0.0, help="Share of the events that are sent twice.")
@click.option("--late-share", type=_SHARE, default=0.0, help="Share that is sent two hours to two days late.")
@click.option("--seed", type=int, default=1, help="Decides which ones these are.")
def play(
    settings: Settings,
    *,
    dataset: str,
    days: int | None,
    speed: float | None,
    duplicate_share: float,
    late_share: float,
    seed: int,
    as_json: bool,
) -> None:
    """Let the simulated network send its log to a dataset's topic, in the order of time.

    Days of the log that are not there yet are simulated first. Sent twice, an event is still the same event.
    """
    from ok_ml.datasets.collecting.collector_process import stopped_by_signals
    from ok_ml.datasets.collecting.playing import PlayOptions, source_of
    from ok_ml.datasets.collecting.playing import play as run
    from ok_ml.lake import Lake

    project = settings.project()
    config = project.event_logs[known_log(project, dataset)]
    source, lake = source_of(config, project.event_logs), Lake(project.lake_root)
    dts = _days(source, lake, days)
    options = PlayOptions(speed, duplicate_share, late_share, seed)
    with _broker(project, config), stopped_by_signals() as stopping:
        done = run(config, source, lake, project.environment.kafka, dts, options, stopping=stopping, progress=say)
    if as_json:
        write_json({**asdict(done), "messages": done.messages})
        return
    write_line(
        f"{done.topic}: sent {done.messages:,} messages of {len(done.days)} days ({done.events:,} events, "
        f"{done.duplicates:,} of them twice, {done.late:,} late)"
    )


def _days(source: "DatasetConfig", lake: "Lake", days: int | None) -> list[str]:
    """The first so many days of the source; simulated where they are not committed."""
    from ok_ml.datasets.collecting.collector_names import RAW_EVENTS
    from ok_ml.partitions import day_of, iso_of
    from ok_ml.world.log.raw_log import ensure_days

    assert source.world is not None  # noqa: S101  source_of has seen to it
    first = day_of(source.world.start)
    gone_by = [day_of(dt) + 1 - first for dt in lake.partitions(source.dataset, RAW_EVENTS)]
    count = days or max([source.world.days, *gone_by])
    wanted = [iso_of(first + number) for number in range(count)]
    ensure_days(source, lake, wanted, progress=say)
    return wanted


@contextmanager
def _broker(project: "Project", config: "DatasetConfig") -> Iterator[None]:
    """A broker that answers: the one that is there, or one of our own while this command runs."""
    from ok_ml.datasets.collecting.events_topic import about_events, topic_config
    from ok_ml.local.broker.embedded_broker import ensure_broker
    from ok_ml.local.services.machine_ready import require_folders

    topic_config(config)
    require_folders(project)
    with about_events(config), ensure_broker(project.environment.kafka, project.state_dir):
        yield
