"""event_statistics of a dataset's days, their verdict, and which days of the log must not reach users."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ok_ml import columns as c
from ok_ml.config.calibration import limit_of_dataset
from ok_ml.config.models import DatasetBase, DatasetConfig, Project
from ok_ml.lake import Lake, Manifest, fingerprint
from ok_ml.monitoring.judges.data_judge import settled_verdict
from ok_ml.monitoring.judges.own_past import PAST_DAYS, calibrate_on_past, report_past
from ok_ml.monitoring.series.series_watch import SeriesWatch
from ok_ml.partitions import minus_days, window
from ok_ml.quality.bands.daily_bands import HISTORY_DAYS
from ok_ml.quality.judges.findings import Finding
from ok_ml.quality.judges.verdicts import Verdict
from ok_ml.quality.judges.what_blocks import feature_window_days
from ok_ml.quality.statistics.number_series import Name, as_series, read_days, regimes_of, series_table
from ok_ml.stages.blocked_days import bands_guard, blocked_log, readers

if TYPE_CHECKING:
    from ok_ml.quality.statistics.event_statistics import LogDay

CODE_VERSION: Final = "1"  # raise it when equal events become other numbers
_COMPARED: Final = (c.USER_ID, c.SOURCE_ID, c.ITEM_ID, c.EVENT_TYPE, c.EVENT_TIME)
_LEAST_WINDOW_DAYS: Final = 14


def build_event_statistics(
    dataset: DatasetConfig, lake: Lake, dts: Sequence[str], *, progress: Callable[[str], None] | None = None
) -> list[Manifest]:
    """Compute and commit event_statistics of some days; those made from the same input are left alone.

    Raises
    ------
    NotCommitted
        The events of a day are not committed.
    """
    scope, built = dataset.dataset, list[Manifest]()
    blocked = blocked_log(lake, scope)
    for dt in sorted(dts):
        before = _days_before(lake, scope, dt, blocked)
        inputs = _record(lake, scope, dt, before)
        manifest = lake.find(scope, c.EVENT_STATISTICS, dt)
        if manifest is None or manifest.inputs != inputs:
            manifest = _build(lake, scope, dt, before, inputs)
            blocked = blocked_log(lake, scope)  # a verdict on other numbers than the present ones says nothing
            if progress:
                progress(f"{scope}: {manifest.rows} numbers of {dt}")
        built.append(manifest)
    return built


def event_watch(project: Project, dataset: DatasetConfig, lake: Lake) -> SeriesWatch:
    """The bands of a dataset's events, as far back as any experiment's features look."""
    days = max([_LEAST_WINDOW_DAYS, *(feature_window_days(project, name) for name in readers(project, dataset))])
    limit, armed = limit_of_dataset(project, dataset.dataset), bands_guard(project, dataset, lake)
    return SeriesWatch(lake, dataset.dataset, c.EVENT_STATISTICS, limit, days, armed)


def settle_events(project: Project, dataset: DatasetBase, lake: Lake) -> list[Verdict]:
    """Count and judge what is not counted and judged of the latest days; nothing for a dataset of months, or of texts."""
    if not isinstance(dataset, DatasetConfig) or dataset.partition.grain != "day":
        return []
    known = lake.partitions(dataset.dataset, c.EVENTS)
    if not known:
        return []
    watch = event_watch(project, dataset, lake)
    is_past = not watch.armed.blocks_on(known[-1])
    days = PAST_DAYS if is_past else watch.days + HISTORY_DAYS
    wanted = [dt for dt in window(known, known[-1], days) if _has_snapshots(dataset, lake, dt)]
    build_event_statistics(dataset, lake, wanted)
    settled_verdict(project, dataset, known[-1])
    if is_past:
        calibrate_on_past(project, dataset, lake)
        report_past(project, dataset, lake)
        watch = event_watch(project, dataset, lake)
    verdicts = {one.dt: one for one in watch.judge()}
    if any(one.blocks for one in verdicts.values()):
        # A day that blocks is none that later days are compared with: their numbers are others now.
        build_event_statistics(dataset, lake, wanted)
        verdicts |= {one.dt: one for one in watch.judge()}
    return [verdicts[dt] for dt in sorted(verdicts)]


def is_settled(project: Project, dataset: DatasetBase, lake: Lake, dt: str) -> bool:
    """Whether a day's log has a verdict on its present rows; none is asked for of a month, or of texts."""
    if (
        not isinstance(dataset, DatasetConfig)
        or dataset.partition.grain != "day"
        or not _has_snapshots(dataset, lake, dt)
    ):
        return True
    scope = dataset.dataset
    manifest, before = lake.find(scope, c.EVENT_STATISTICS, dt), _days_before(lake, scope, dt, blocked_log(lake, scope))
    current = manifest is not None and manifest.inputs == _record(lake, scope, dt, before)
    return current and event_watch(project, dataset, lake).is_judged(dt)


def plot_deviation(project: Project, watch: SeriesWatch, worst: Finding) -> Path | None:
    """The most deviating series of a day with its band; None while there is no band."""
    from ok_ml.quality.plots.band_plots import band_chart, bands_of

    lake, dt, name = watch.lake, worst.dt, Name(worst.statistic, worst.feature)
    known = [day for day in lake.partitions(watch.scope, watch.table) if minus_days(dt, 2 * HISTORY_DAYS) <= day <= dt]
    days = read_days(lake, watch.scope, watch.table, known)
    series = as_series(days).get(name)
    if series is None:
        return None
    path = project.state_dir / "plots" / watch.scope / f"{watch.table}-{dt}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    share = all(value is None or 0 <= value <= 1 for value in series.values)
    bands = bands_of(
        days,
        name,
        limit=watch.limit.of(name),
        leave_out=watch.blocked(known[:-1]),
        regimes=regimes_of(lake, watch.scope, known),
    )
    band_chart(series, bands, share=share, held=watch.blocked(known), path=path)
    return path


def _build(lake: Lake, scope: str, dt: str, before: Sequence[str], inputs: dict[str, str]) -> Manifest:
    from ok_ml.quality.statistics.event_statistics import event_statistics

    rows = series_table(event_statistics(read_log_day(lake, scope, dt, before)))
    return lake.write(scope, c.EVENT_STATISTICS, dt, rows, sort_by=["metric", "group"], inputs=inputs)


def read_log_day(lake: Lake, scope: str, dt: str, before: Sequence[str]) -> "LogDay":
    """What the numbers of a day are counted on."""
    from ok_ml.quality.statistics.event_statistics import LogDay

    snapshots = {table: lake.read(scope, table, [dt]) for table in c.SNAPSHOTS if lake.find(scope, table, dt)}
    yesterday = lake.find(scope, c.SUBSCRIPTIONS, minus_days(dt, 1))
    return LogDay(
        events=lake.read(scope, c.EVENTS, [dt]),
        before=[lake.read(scope, c.EVENTS, [day], columns=list(_COMPARED)) for day in before],
        rejected=lake.manifest(scope, c.EVENTS, dt).details.get("rejected", {}),
        snapshots=snapshots,
        subscriptions_before=lake.read(scope, c.SUBSCRIPTIONS, [yesterday.partition]) if yesterday else None,
    )


def _record(lake: Lake, scope: str, dt: str, before: Sequence[str]) -> dict[str, str]:
    events = {day: lake.manifest(scope, c.EVENTS, day).data_version for day in (*before, dt)}
    tables = {table: lake.find(scope, table, dt) for table in c.SNAPSHOTS}
    yesterday = lake.find(scope, c.SUBSCRIPTIONS, minus_days(dt, 1))
    snapshots = {table: one.data_version for table, one in tables.items() if one is not None}
    return {
        "code": CODE_VERSION,
        "events": fingerprint(dict(events)),
        "rejected": fingerprint(dict(lake.manifest(scope, c.EVENTS, dt).details.get("rejected", {}))),
        "snapshots": fingerprint({**snapshots, "before": yesterday.data_version if yesterday else "none"}),
    }


def _days_before(lake: Lake, scope: str, dt: str, blocked: Collection[str]) -> list[str]:
    """The days that a day is compared with; one that blocks would make what is right look odd."""
    from ok_ml.quality.statistics.event_statistics import DAYS_BEFORE

    return [
        day for day in window(lake.partitions(scope, c.EVENTS), minus_days(dt, 1), DAYS_BEFORE) if day not in blocked
    ]


def _has_snapshots(dataset: DatasetConfig, lake: Lake, dt: str) -> bool:
    return all(lake.find(dataset.dataset, table, dt) is not None for table in c.SNAPSHOTS)
