"""A dataset's lake by hand: days of events and snapshots, to be broken one at a time."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.conversion.mapping import EVENT_SCHEMA
from ok_ml.lake import Lake
from ok_ml.monitoring.series.live_history import Served, record_live

NAME = "toy"
FIRST = date(2026, 1, 5)  # a Monday


def config(**checks) -> DatasetConfig:
    return DatasetConfig.model_validate(
        {
            "dataset": NAME,
            "description": "By hand.",
            "owners": ("data@example.org",),
            "parts": 2,
            "has_impressions": True,
            "events": {
                "path": "x.parquet",
                "columns": {"user_id": "u", "source_id": "s", "item_id": "i", "event_type": "e"},
                "time": {"columns": ("t",)},
                "unique_by": ("id",),
            },
            "weights": {"like": 1.0},
            "grades": {"like": 1},
            "checks": checks,
        }
    )


@dataclass
class DayWorld:
    """Commits days; `commit` takes what is different on a day."""

    lake: Lake
    dts: list[str] = field(default_factory=list)

    def days(self, count: int, **different) -> "DayWorld":
        for _ in range(count):
            self.commit((FIRST + timedelta(days=len(self.dts))).isoformat(), **different)
        return self

    def serve(self, dt: str, experiment: str = "toy_sources") -> None:
        """A first generation, made from the days up to this one, goes live: there is something to protect."""
        record_live(self.lake, experiment, Served(1, "first", dt, 1, "v-1", dt))

    def commit(
        self,
        dt: str,
        *,
        rows: int = 100,
        content: tuple = ("photo", "text"),
        nulls: int = 0,
        last: str = "23:50",
        repeated: int = 0,
        users: int = 20,
        twice: int = 0,
        schema: pa.Schema = EVENT_SCHEMA,
    ) -> None:
        if dt not in self.dts:
            self.dts.append(dt)
        moment = datetime.fromisoformat(f"{dt}T{last}").replace(tzinfo=UTC)
        words = [None] * nulls + [content[n % len(content)] for n in range(rows - nulls)]
        events = pa.table(
            {
                c.USER_ID: range(rows),
                c.SOURCE_ID: [1] * rows,
                c.ITEM_ID: [1] * rows,
                c.EVENT_TYPE: [c.LIKE] * rows,
                c.POSITION: [0] * rows,
                c.CONTENT_TYPE: words,
                c.DURATION_MS: [1] * rows,
                c.GENERATION: pa.nulls(rows, pa.string()),
                c.EVENT_TIME: [moment] * rows,
                c.PART: [n % 2 for n in range(rows)],
            },
            schema=EVENT_SCHEMA,
        )
        details = {"max_event_time": moment.isoformat(), "rejected": {"repeated": repeated} if repeated else {}}
        self.lake.write(NAME, c.EVENTS, dt, events.cast(schema), sort_by=[c.USER_ID], by_part=True, details=details)
        ids = [*range(users), *range(twice)]
        known = pa.table(
            {
                c.USER_ID: pa.array(ids, pa.int64()),
                c.NAME: pa.nulls(len(ids), pa.string()),
                c.SEGMENT: ["18-24"] * len(ids),
                c.REGISTERED_DT: pa.nulls(len(ids), pa.string()),
                c.PART: pa.array([0] * len(ids), pa.int32()),
            }
        )
        self.lake.write(NAME, c.USERS, dt, known, sort_by=[c.USER_ID], by_part=True)
