"""The verdict on a dataset's days by the numbers of their log, and a picture of the number that is farthest off."""

from pathlib import Path
from typing import Final

from ok_ml import columns as c
from ok_ml.config.calibration import limit_of_dataset
from ok_ml.config.models import DatasetBase, DatasetConfig, Project
from ok_ml.lake import Lake
from ok_ml.monitoring.judges.data_judge import settled_verdict
from ok_ml.monitoring.judges.own_past import PAST_DAYS, calibrate_on_past, report_past
from ok_ml.monitoring.judges.series_watch import SeriesWatch
from ok_ml.monitoring.series.event_series import build_event_statistics, has_snapshots, is_counted
from ok_ml.partitions import minus_days, window
from ok_ml.quality.bands.daily_bands import HISTORY_DAYS
from ok_ml.quality.judges.findings import Finding
from ok_ml.quality.judges.verdicts import Verdict
from ok_ml.quality.statistics.number_series import Name, as_series, read_days, regimes_of
from ok_ml.stages.blocked_days import bands_guard, feature_window_days, readers
from ok_ml.stages.plot_files import scope_plot_path

_LEAST_WINDOW_DAYS: Final = 14


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
    wanted = [dt for dt in window(known, known[-1], days) if has_snapshots(dataset, lake, dt)]
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
        or not has_snapshots(dataset, lake, dt)
    ):
        return True
    return is_counted(dataset, lake, dt) and event_watch(project, dataset, lake).is_judged(dt)


def plot_deviation(project: Project, watch: SeriesWatch, worst: Finding) -> Path | None:
    """The most deviating series of a day with its band; None while there is no band."""
    from ok_ml.quality.plots.band_plots import band_chart, bands_of

    lake, dt, name = watch.lake, worst.dt, Name(worst.statistic, worst.feature)
    known = [day for day in lake.partitions(watch.scope, watch.table) if minus_days(dt, 2 * HISTORY_DAYS) <= day <= dt]
    days = read_days(lake, watch.scope, watch.table, known)
    series = as_series(days).get(name)
    if series is None:
        return None
    path = scope_plot_path(project, watch.scope, f"{watch.table}-{dt}.png")
    share = all(value is None or 0 <= value <= 1 for value in series.values)
    bands = bands_of(
        days,
        name,
        limit=watch.limit.of(name),
        leave_out=watch.odd(known[:-1]),
        regimes=regimes_of(lake, watch.scope, known),
    )
    band_chart(series, bands, share=share, held=watch.blocked(known), path=path)
    return path
