"""A log's own past: what was odd in it, and the limit of the bands that it calibrates.

Days that came in together are a history, not deliveries: each is held against the days before it, what is found is one table,
worst first, and nothing blocks. The same pass tells how far numbers of this log go without a fault, which is the limit for the days
to come. A series that exceeded it in normal operation, such as the share of a robot, gets a limit of its own, so that
the limit of the other series stays low.
"""

from datetime import UTC, datetime
from typing import Any, Final

from ok_ml import columns as c
from ok_ml.config.calibration import (
    DEFAULT_LIMIT,
    OWN_CALIBRATION,
    Calibration,
    CheckRate,
    Limit,
    calibration_of,
    limit_of_dataset,
    own_calibration,
)
from ok_ml.config.models import DatasetConfig, Project
from ok_ml.lake import WHOLE, Lake, Manifest, fingerprint
from ok_ml.monitoring.judges import limit_fitting as k
from ok_ml.monitoring.judges.expected_values import product_watches
from ok_ml.monitoring.judges.replay import Scan, scan, scan_watched
from ok_ml.monitoring.judges.series_watch import PAST_REPORT
from ok_ml.partitions import window
from ok_ml.quality.bands.blocking_deviations import is_blocking
from ok_ml.quality.bands.forecasts import LEAST_DAYS
from ok_ml.quality.statistics.number_series import read_days, regimes_of
from ok_ml.stages.blocked_days import LEAST_PAST_DAYS, NEVER, bands_guard, readers

PAST_DAYS: Final = 400  # a year and a season's beginning: an older past is another log
ASKED_A_YEAR: Final = 1.0
_WARM_DAYS: Final = 28
_LEAST_LIMIT: Final = 5.0  # the tail of a few quiet weeks promises more than it knows
_OWN_MARGIN: Final = 1.25  # of the farthest that a restless series went


def calibrate_on_past(project: Project, dataset: DatasetConfig, lake: Lake) -> Calibration | None:
    """The limit that a log's own past gives, committed once; None while there is no need, or too short a past."""
    if any(calibration_of(project.root, name) is not None for name in readers(project, dataset)):
        return None
    known = own_calibration(project, dataset.dataset)
    scans = {} if known is not None else _scans(dataset, lake, LEAST_PAST_DAYS)
    if not scans:
        return known
    made = _calibrated(dataset.dataset, scans)
    with lake.staged(dataset.dataset, OWN_CALIBRATION, WHOLE) as folder:
        said = made.model_dump(mode="json")
        lake.commit(folder, rows=made.days, data_version=fingerprint(said), details=said)
    return made


def report_past(project: Project, dataset: DatasetConfig, lake: Lake) -> Manifest | None:
    """One row a finding in the past days, worst first; committed again when the days changed."""
    import pyarrow as pa

    scope = dataset.dataset
    known = _past_days(dataset, lake)
    if len(known) <= LEAST_DAYS:
        return None
    versions = {dt: lake.manifest(scope, c.EVENT_STATISTICS, dt).data_version for dt in known}
    inputs = {"statistics": fingerprint(dict(versions)), "code": "1"}
    report = lake.find(scope, PAST_REPORT)
    if report is not None and report.inputs == inputs:
        return report
    days = read_days(lake, scope, c.EVENT_STATISTICS, known)
    seen = scan(c.EVENT_STATISTICS, days, regimes_of(lake, scope, known))
    own = own_calibration(project, scope)
    rows = past_rows(seen, {} if own is None else own.own)
    table = pa.Table.from_pylist(rows, schema=_schema())
    with lake.staged(scope, PAST_REPORT, WHOLE) as folder:
        import pyarrow.parquet as pq

        pq.write_table(table, folder / "all.parquet")
        details = {"odd": list(seen.odd), "judged": len(seen.deviations), "first": known[0], "last": known[-1]}
        return lake.commit(
            folder, rows=len(rows), data_version=fingerprint({"rows": rows}), inputs=inputs, details=details
        )


def past_findings(dataset: DatasetConfig, lake: Lake, most: int) -> list[dict[str, Any]]:
    """The worst findings in the days that came in together."""
    report = lake.find(dataset.dataset, PAST_REPORT)
    return lake.read(dataset.dataset, PAST_REPORT).slice(0, most).to_pylist() if report is not None else []


def guard_line(project: Project, dataset: DatasetConfig, lake: Lake) -> str:
    """What the checks of a log may do from the next day on, in a line."""
    if dataset.partition.grain != "day":
        return "of months no number is held against its past: declared rules only"
    limit, armed = limit_of_dataset(project, dataset.dataset), bands_guard(project, dataset, lake)
    past = lake.find(dataset.dataset, PAST_REPORT)
    told = (
        f"; {past.rows} findings in {past.details['judged']} past days, none of which blocks"
        if past is not None
        else ""
    )
    days = lake.partitions(dataset.dataset, c.EVENTS)
    own = own_calibration(project, dataset.dataset)
    calibrated = own is not None or any(calibration_of(project.root, name) for name in readers(project, dataset))
    if not calibrated:
        return f"findings warn{told}: {armed.why}"
    after = max(armed.after if armed.after < NEVER else "", days[-1] if armed.after == NEVER and days else "")
    return f"days after {after} may block, at limit {limit.value:.2f} ({limit.origin}){told}"


def past_rows(seen: Scan, own: dict[str, float]) -> list[dict[str, Any]]:
    """The findings of past days, worst first; a series that is variable in normal operation counts beyond its own limit only."""
    rows: list[dict[str, Any]] = [
        {
            "day": dt,
            "number": str(one.name),
            "seen": one.value,
            "expected": one.band.expected,
            "score": one.band.score,
            "limit": max(own.get(str(one.name), one.limit), one.limit),
            "grave": is_blocking(one),
        }
        for dt, deviations in seen.deviations.items()
        for one in deviations
        if one.outside
    ]
    beyond = [row for row in rows if row["grave"] or abs(row["score"]) > row["limit"]]
    return sorted(beyond, key=lambda row: (not row["grave"], -abs(row["score"]), row["day"], row["number"]))


def _schema() -> Any:
    import pyarrow as pa

    numbers = [(name, pa.float64()) for name in ("seen", "expected", "score", "limit")]
    return pa.schema([("day", pa.string()), ("number", pa.string()), *numbers, ("grave", pa.bool_())])


def _past_days(dataset: DatasetConfig, lake: Lake) -> list[str]:
    known = lake.partitions(dataset.dataset, c.EVENT_STATISTICS)
    return window(known, known[-1], PAST_DAYS) if known else []


def _scans(dataset: DatasetConfig, lake: Lake, least: int) -> dict[str, Scan]:
    """Table -> its scan; nothing where there are fewer than `least` days."""
    known = _past_days(dataset, lake)
    if len(known) < least:
        return {}
    log, product = (read_days(lake, dataset.dataset, table, known) for table in (c.EVENT_STATISTICS, c.PRODUCT_METRICS))
    scans = {c.EVENT_STATISTICS: scan(c.EVENT_STATISTICS, log, regimes_of(lake, dataset.dataset, known))}
    if len(product) >= least:
        watches = product_watches(dataset.checks, Limit(DEFAULT_LIMIT, "built-in default"))
        scans[c.PRODUCT_METRICS] = scan_watched(watches, product, scans[c.EVENT_STATISTICS].odd)
    return scans


def _calibrated(scope: str, scans: dict[str, Scan]) -> Calibration:
    """The limit where the tail of the quiet series gives half of what was asked for, and those of the restless ones."""
    log = scans[c.EVENT_STATISTICS]  # of it the first weeks do not count, nor days that no change of people explains
    dts = [dt for dt in sorted(log.deviations)[_WARM_DAYS - LEAST_DAYS :] if dt not in log.odd]
    scores = [score for table, seen in scans.items() for score in k.scores_of(table, seen, dts)]
    farthest: dict[str, float] = {}
    for one in scores:
        farthest[one.metric] = max(farthest.get(one.metric, 0.0), one.score)
    own = {name: round(_OWN_MARGIN * score, 2) for name, score in farthest.items() if score > DEFAULT_LIMIT}
    quiet = k.worst_of_each_day([one for one in scores if one.metric not in own])
    limit = max(k.pick_limit(quiet, ASKED_A_YEAR), _LEAST_LIMIT) if quiet else DEFAULT_LIMIT
    days = sorted({one.dt for one in scores})
    count = sum(k.alarms(quiet, limit).values())
    rate = k.Rate(count, max(len(days) / k.DAYS_A_YEAR, 1e-9))
    return Calibration(
        experiment=scope,
        limit=round(limit, 2),
        false_alarms_a_year=ASKED_A_YEAR,
        expected_a_year=round(max(rate.a_year, ASKED_A_YEAR / 2), 3),
        low_a_year=round(rate.interval[0], 3),
        high_a_year=round(rate.interval[1], 3),
        source="replayed",
        days=len(days),
        upto=days[-1],
        date=datetime.now(UTC).date().isoformat(),
        code="own past 2",
        own=dict(sorted(own.items())),
        rates=(CheckRate(check="bands", alarms=count, a_year=round(rate.a_year, 3)),),
    )
