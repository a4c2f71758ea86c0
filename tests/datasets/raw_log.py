"""Tiny hand-made logs and the dataset that maps them."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from ok_ml.config.models import DatasetConfig
from ok_ml.lake import Lake

HEADER = "who,what,thing,did,when\n"


def dataset(events: dict[str, Any], **sections: Any) -> DatasetConfig:
    """A dataset `tiny` whose event columns are those of HEADER unless `events` says otherwise."""
    mapping = {
        "path": "log.csv",
        "format": "csv",
        "columns": {"user_id": "who", "source_id": "what", "item_id": "thing", "event_type": "did"},
        "time": {"columns": ["when"]},
        "event_types": {"liked": "like", "opened": "click", "joined": "subscribe", "left": "unsubscribe"},
    } | events
    rest = {"has_impressions": False, "weights": {"like": 1.0}, "grades": {"like": 2}} | sections
    return DatasetConfig.model_validate(
        {"dataset": "tiny", "description": "", "owners": ["a@b.c"], "parts": 4, "events": mapping, **rest}
    )


def write_log(folder: Path, *rows: str, name: str = "log.csv") -> Path:
    """A CSV log with HEADER."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return path


def events_of(lake: Lake, dt: str, table: str = "events") -> list[dict[str, Any]]:
    """Committed rows of dataset `tiny` as dictionaries, sorted."""
    rows: pa.Table = lake.read("tiny", table, [dt])
    return sorted(rows.to_pylist(), key=lambda row: str(sorted(row.items(), key=str)))


def pairs_of(lake: Lake, dt: str, table: str = "subscriptions", other: str = "source_id") -> list[tuple[int, int]]:
    """Committed pairs of dataset `tiny`, sorted."""
    rows = lake.read("tiny", table, [dt])
    return sorted(zip(rows["user_id"].to_pylist(), rows[other].to_pylist(), strict=True))
