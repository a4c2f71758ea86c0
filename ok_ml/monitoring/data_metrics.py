"""What the lake and the incidents say, for Prometheus: newest partitions, drift, online metrics, open incidents."""

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ok_ml import columns as c
from ok_ml import metrics
from ok_ml.config.models import Project
from ok_ml.errors import OkMlError
from ok_ml.lake import WHOLE, Lake, Manifest
from ok_ml.metric_files import read_kept, write
from ok_ml.partitions import end_seconds
from ok_ml.quality.judges.verdicts import FEATURE_VERDICT
from ok_ml.stages.blocked_days import of_features
from ok_ml.stages.opening import open_pipeline, type_of

if TYPE_CHECKING:
    from ok_ml.stages.pipeline import Pipeline

_SEVERITIES: Final = ("warn", "error")
_LOOK_BACK: Final = 4  # days: a metric over three days is there only once these are over
_OF_DATASETS: Final = (*c.DATASET_TABLES, *c.DATASET_SERIES)


def write_data_metrics(project: Project) -> Path:
    """Look at everything that is committed and leave its numbers; cheap where nothing has changed."""
    board, kept, lake = metrics.Board(metrics.DATA), read_kept(project.state_dir, metrics.DATA), Lake(project.lake_root)
    for scope, table, grain in _tables(project):
        _about_table(board, lake, scope, table, grain)
    for name in sorted(project.datasets):
        _about_series(board, metrics.PRODUCT, lake, name, c.PRODUCT_METRICS, "dataset")
    psi: dict[str, Any] = {}
    for name in sorted(project.experiments):
        _about_series(board, metrics.ONLINE, lake, name, c.ONLINE_METRICS, "experiment")
        _about_drift(board, open_pipeline(project, name), kept.get("psi", {}), psi)
    for severity, count in open_incidents(project.state_dir).items():
        board.set(metrics.INCIDENTS, count, severity=severity)
    return write(project.state_dir, metrics.DATA, board, kept={"psi": psi})


def _tables(project: Project) -> Iterator[tuple[str, str, str]]:
    for name, dataset in sorted(project.datasets.items()):
        yield from ((name, table, dataset.partition.grain) for table in _OF_DATASETS)
    for name in sorted(project.experiments):
        grain = project.dataset_of(name).partition.grain
        yield from ((name, table, grain) for table in type_of(project, name).tables())


def _about_table(board: metrics.Board, lake: Lake, scope: str, table: str, grain: str) -> None:
    newest = _newest(lake, scope, table)
    if newest is None:
        return
    board.set(metrics.NEWEST_ROWS, newest.rows, scope=scope, table=table)
    committed = datetime.fromisoformat(newest.committed_at).timestamp()
    board.set(metrics.NEWEST_COMMIT, committed, scope=scope, table=table)
    with contextlib.suppress(ValueError):  # a cut of the embeddings is no day
        if newest.partition != WHOLE:
            board.set(metrics.NEWEST_DAY, end_seconds(newest.partition, grain), scope=scope, table=table)


def _newest(lake: Lake, scope: str, table: str) -> Manifest | None:
    known = lake.partitions(scope, table)
    return lake.find(scope, table, known[-1]) if known else None


def _about_series(board: metrics.Board, metric: metrics.Metric, lake: Lake, scope: str, table: str, label: str) -> None:
    """The newest value of each number by day, as far as it is not too old."""
    from ok_ml.quality.statistics.number_series import read_days

    days = read_days(lake, scope, table, lake.partitions(scope, table)[-_LOOK_BACK:])
    newest = {name: one.value for dt in sorted(days) for name, one in days[dt].items() if one.value is not None}
    for name, value in newest.items():
        board.set(metric, value, **{label: scope, "metric": name.metric, "group": name.group})


# -- drift ---------------------------------------------------------------------------------------------------------------


def _about_drift(board: metrics.Board, pipeline: "Pipeline", before: dict[str, Any], now: dict[str, Any]) -> None:
    """The largest PSI of the newest judged day; counted again only when the day or the reference has changed."""
    verdict = _newest(pipeline.lake, pipeline.name, FEATURE_VERDICT)
    if verdict is None:
        return
    blocked = bool(of_features(pipeline.project, pipeline.name, verdict.partition))
    board.set(metrics.BLOCKED, blocked, experiment=pipeline.name)
    known = before.get(pipeline.name)
    if known is None or known["inputs"] != verdict.inputs:
        known = {"inputs": verdict.inputs, "psi": _largest_psi(pipeline, verdict.partition)}
    now[pipeline.name] = known
    if known["psi"] is not None:
        board.set(metrics.DRIFT_PSI, known["psi"], experiment=pipeline.name)


def _largest_psi(pipeline: "Pipeline", dt: str) -> float | None:
    from ok_ml.monitoring.judges.feature_drift import drift_of

    try:
        table = drift_of(pipeline, dt)
    except OkMlError:  # the day or the model is being replaced just now; the next look finds it whole
        return None
    values = [value for value in table["psi"].to_pylist() if value is not None] if table is not None else []
    return max(values, default=None)


# -- incidents -----------------------------------------------------------------------------------------------------------


def open_incidents(state_dir: Path) -> dict[str, int]:
    """Severity -> open incidents; nothing while there is no file of incidents, or it is locked."""
    path = state_dir / "incidents.db"
    if not path.is_file():
        return {}
    counts = dict.fromkeys(_SEVERITIES, 0)
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_opened(path)) as base:
        rows = base.execute("SELECT severity, count(*) FROM incidents WHERE closed_at IS NULL GROUP BY severity")
        return counts | dict(rows.fetchall())
    return {}


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=2.0)
