"""What a collector says of itself, for `ok-ml status` and the health page: a small file that it replaces every second."""

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from ok_ml.atomic_write import replace_file
from ok_ml.datasets.collecting.collector_names import FOLDER, RAW_EVENTS
from ok_ml.lake import Lake
from ok_ml.partitions import iso_of

if TYPE_CHECKING:
    from ok_ml.datasets.collecting.collector import Collector

STATUS_SECONDS: Final = 1.0
SILENT_SECONDS: Final = 15.0
_FILE: Final = "status.json"


def status_path(lake: Lake, dataset: str) -> Path:
    """Where a dataset's collector leaves its status."""
    return lake.root / dataset / FOLDER / _FILE


def read_status(lake: Lake, dataset: str) -> dict[str, Any] | None:
    """The last status of a dataset's collector, or None if there never was one."""
    with contextlib.suppress(FileNotFoundError, orjson.JSONDecodeError):
        status: dict[str, Any] = orjson.loads(status_path(lake, dataset).read_bytes())
        return status
    return None


def describe(collector: "Collector") -> dict[str, Any]:
    """What a collector has done and what is before it.

    Returns
    -------
    dict with pid, updated_at (seconds since 1970), topic, lag (messages), messages (ever written down), days_committed
    (versions by this process), last_day, open_days (day -> rows staged), late_days (closed day -> rows not in it yet), batches
    (staged files), set_aside (reason -> messages), lost (messages that retention took), watermark (ISO time or null), trouble.
    """
    dataset, staging, point = collector.dataset.dataset, collector.staging, collector.checkpoint
    staged, committed = staging.rows_of_days(), collector.lake.partitions(dataset, RAW_EVENTS)
    reached = collector.watermark_ms()
    return {
        "pid": os.getpid(),
        "updated_at": time.time(),
        "stopped": False,
        "dataset": dataset,
        "topic": collector.topic,
        "lag": collector.lag(),
        "messages": point.messages,
        "days_committed": collector.committed,
        "last_day": committed[-1] if committed else None,
        "open_days": {iso_of(day): sum(rows.values()) for day, rows in staged.items() if iso_of(day) not in committed},
        "late_days": {iso_of(day): late for day, rows in staged.items() if (late := collector.late_rows(day, rows))},
        "batches": len(staging.batches),
        "set_aside": point.set_aside,
        "lost": point.lost,
        "watermark": None if reached is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(reached / 1000)),
        "trouble": collector.consumer.trouble,
    }


def write_status(collector: "Collector", *, stopped: bool = False) -> dict[str, Any]:
    """Replace the status file; returns what it says."""
    document = describe(collector) | {"stopped": stopped}
    path = status_path(collector.lake, collector.dataset.dataset)
    replace_file(path, orjson.dumps(document, option=orjson.OPT_INDENT_2))
    return document
