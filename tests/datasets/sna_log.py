"""Parquet trees in the schema of OK's published feed log (SNA Hackathon 2019)."""

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    [
        ("instanceId_userId", pa.int32()),
        ("instanceId_objectType", pa.string()),
        ("instanceId_objectId", pa.int32()),
        ("audit_pos", pa.int64()),
        ("audit_timestamp", pa.int64()),
        ("metadata_ownerId", pa.int32()),
        ("metadata_ownerType", pa.string()),
        ("membership_status", pa.string()),
        ("feedback", pa.list_(pa.string())),
    ]
)
FILES_A_DAY = 6


class Shown(NamedTuple):
    """One row: a post of a group that a user was shown, with what they did."""

    user: int
    group: int
    post: int
    time: str
    feedback: list[str] | None
    position: int = 0
    member: str | None = "A"
    kind: str = "Post"


def write_tree(folder: Path, days: dict[str, list[Shown]]) -> Path:
    """A folder a day, in each of them one file for each remainder of the user id that occurs."""
    for dt, rows in days.items():
        files: dict[int, list[Shown]] = defaultdict(list)
        for row in rows:
            files[row.user % FILES_A_DAY].append(row)
        for number, chosen in files.items():
            path = folder / f"date={dt}" / f"part-{number:05d}.snappy.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist([_raw(row) for row in chosen], SCHEMA), path, compression="snappy")
    return folder


def _raw(row: Shown) -> dict[str, object]:
    moment = datetime.fromisoformat(row.time).replace(tzinfo=UTC)
    return {
        "instanceId_userId": row.user,
        "instanceId_objectType": row.kind,
        "instanceId_objectId": row.post,
        "audit_pos": row.position,
        "audit_timestamp": round(moment.timestamp() * 1000),
        "metadata_ownerId": row.group,
        "metadata_ownerType": "GROUP_OPEN",
        "membership_status": row.member,
        "feedback": row.feedback,
    }
