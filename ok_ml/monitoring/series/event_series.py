"""event_statistics of a dataset's days: the numbers of each day's log."""

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Final

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.lake import Lake, Manifest, fingerprint
from ok_ml.partitions import minus_days, window
from ok_ml.quality.statistics.number_series import series_table
from ok_ml.stages.blocked_days import blocked_log

if TYPE_CHECKING:
    from ok_ml.quality.statistics.event_statistics import LogDay

CODE_VERSION: Final = "1"  # raise it when equal events become other numbers
_COMPARED: Final = (c.USER_ID, c.SOURCE_ID, c.ITEM_ID, c.EVENT_TYPE, c.EVENT_TIME)


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


def is_counted(dataset: DatasetConfig, lake: Lake, dt: str) -> bool:
    """Whether a day's numbers are those of its log as it is now."""
    scope = dataset.dataset
    before = _days_before(lake, scope, dt, blocked_log(lake, scope))
    return lake.is_current(scope, c.EVENT_STATISTICS, dt, _record(lake, scope, dt, before))


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


def has_snapshots(dataset: DatasetConfig, lake: Lake, dt: str) -> bool:
    """Whether what a day's numbers need besides its events is there."""
    return all(lake.find(dataset.dataset, table, dt) is not None for table in c.SNAPSHOTS)
